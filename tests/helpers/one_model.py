"""DeLong of one model, and of two, as the comparison calls it of several seeds."""

from numpy.typing import ArrayLike

from ucadi_flwr.evaluation.delong import shares
from ucadi_flwr.evaluation.intervals import AucEstimate
from ucadi_flwr.evaluation.paired import Comparison, delong_test


def area_of(
    truth: ArrayLike, scores: ArrayLike, clusters: ArrayLike | None = None
) -> AucEstimate | None:
    found = shares(truth, scores, clusters)
    return None if found is None else AucEstimate.of(found)


def difference_of(
    truth: ArrayLike, a: ArrayLike, b: ArrayLike, clusters: ArrayLike | None = None
) -> Comparison | None:
    one, other = shares(truth, a, clusters), shares(truth, b, clusters)
    return None if one is None or other is None else delong_test(one - other)
