"""DeLong's estimate for one model, and his test for two, without seeds."""

from numpy.typing import ArrayLike

from helpers.known import known
from ucadi_flwr.evaluation.delong import auc_components
from ucadi_flwr.evaluation.intervals import AucEstimate, Interval
from ucadi_flwr.evaluation.paired import PairedTest, delong_test


def area_of(truth: ArrayLike, scores: ArrayLike, clusters: ArrayLike | None = None) -> AucEstimate:
    return AucEstimate.of(known(auc_components(truth, scores, clusters)))


def interval_of(estimate: AucEstimate) -> Interval:
    return known(estimate.interval())


def difference_of(
    truth: ArrayLike, a: ArrayLike, b: ArrayLike, clusters: ArrayLike | None = None
) -> PairedTest:
    of_a, of_b = auc_components(truth, a, clusters), auc_components(truth, b, clusters)
    return delong_test(known(of_a) - known(of_b))
