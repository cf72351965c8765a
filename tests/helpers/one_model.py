"""DeLong's estimate for one model, and his test for two, without seeds."""

from numpy.typing import ArrayLike

from ucadi_flwr.evaluation.delong import auc_components
from ucadi_flwr.evaluation.intervals import AucEstimate
from ucadi_flwr.evaluation.paired import PairedTest, delong_test


def area_of(
    truth: ArrayLike, scores: ArrayLike, clusters: ArrayLike | None = None
) -> AucEstimate | None:
    components = auc_components(truth, scores, clusters)
    return None if components is None else AucEstimate.of(components)


def difference_of(
    truth: ArrayLike, a: ArrayLike, b: ArrayLike, clusters: ArrayLike | None = None
) -> PairedTest | None:
    of_a, of_b = auc_components(truth, a, clusters), auc_components(truth, b, clusters)
    return None if of_a is None or of_b is None else delong_test(of_a - of_b)
