"""AUC over seeds, with an interval over cases, and its difference between two recipes."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, rankdata

from ucadi_flwr.comparison.cases import Predictions
from ucadi_flwr.comparison.estimates import UNDEFINED, estimate
from ucadi_flwr.evaluation.delong import Shares, shares
from ucadi_flwr.evaluation.intervals import AucEstimate, Interval, z_value
from ucadi_flwr.report.analysis import Estimate


def area(predictions: Predictions, of_class: int, level: float = 0.95) -> Estimate:
    """One-vs-rest AUC of a class: the mean over seeds, undefined with one class only.

    The interval is that of the mean for other cases and the same trained models, by DeLong's shares
    averaged over the seeds (:meth:`ucadi_flwr.evaluation.delong.Shares.mean`) on the logit scale,
    and Newcombe's where that variance is 0 (:class:`ucadi_flwr.evaluation.intervals.AucEstimate`).
    It does not hold what another seed would do: that is the SD.
    """
    found = _shares(predictions, of_class)
    if found is None:
        return UNDEFINED
    mean = Shares.mean(found)
    of_mean = AucEstimate(mean.auc, mean.variance(), mean.positive_patients, mean.negative_patients)
    return estimate([one.auc for one in found], of_mean.interval(level))


def area_difference(
    a: Predictions, b: Predictions, of_class: int, level: float = 0.95
) -> tuple[Estimate, float | None, str] | None:
    """AUC of A less that of B, mean over the same seeds: estimate, p and the test's name.

    DeLong's paired test, as :func:`ucadi_flwr.evaluation.paired.delong_test` has it, of the shares
    averaged over seeds; with one seed it is that test. Where the variance is 0, p is 1 if the
    difference is 0, else None, and the interval is 0 to 0 if every seed of both ranks all cases
    alike, else None. None with one class only.
    """
    z = z_value(level)
    found_a, found_b = _shares(a, of_class), _shares(b, of_class)
    if found_a is None or found_b is None:
        return None
    each = [one - other for one, other in zip(found_a, found_b, strict=True)]
    contrast = Shares.mean(found_a) - Shares.mean(found_b)
    variance = contrast.variance()
    interval: Interval | None = None
    p: float | None = None
    if variance:
        error = float(np.sqrt(variance))
        low, high = contrast.auc - z * error, contrast.auc + z * error
        interval = Interval(max(-1.0, low), min(1.0, high))
        p = float(2 * norm.sf(abs(contrast.auc) / error))
    elif variance is not None and contrast.won == 0:
        p = 1.0
        alike = np.array_equal(_ranks(a, of_class), _ranks(b, of_class))
        interval = Interval(0.0, 0.0) if alike else None
    return estimate([one.auc for one in each], interval), p, _method(a)


def _shares(predictions: Predictions, of_class: int) -> list[Shares] | None:
    """Of every seed; None with one class only."""
    truth = predictions.labels == of_class
    each = [
        shares(truth, one[:, of_class], predictions.patients) for one in predictions.probabilities
    ]
    found = [one for one in each if one is not None]
    return found or None


def _ranks(predictions: Predictions, of_class: int) -> NDArray[np.float64]:
    ranks: NDArray[np.float64] = rankdata(predictions.probabilities[:, :, of_class], axis=1)
    return ranks


def _method(predictions: Predictions) -> str:
    """The test's name, with what it does beyond the paper's."""
    name = "DeLong 1988"
    if len(predictions.seeds) > 1:
        name += f", mean of {len(predictions.seeds)} seeds"
    if predictions.patient_count < len(predictions.labels):
        name += ", patients as clusters (Obuchowski 1997)"
    return name
