"""AUC over seeds, with an interval over cases, and its difference between two recipes."""

from ucadi_flwr.comparison.cases import Predictions
from ucadi_flwr.comparison.seeds import UNDEFINED, estimate
from ucadi_flwr.evaluation.delong import Shares, shares
from ucadi_flwr.evaluation.intervals import AucEstimate
from ucadi_flwr.evaluation.paired import delong_test
from ucadi_flwr.results.analysis import Estimate


def auc_estimate(predictions: Predictions, of_class: int, level: float = 0.95) -> Estimate:
    """One-vs-rest AUC of a class: the mean over seeds, undefined with one class only.

    The interval is that of the mean for other cases and the same trained models, by DeLong's shares
    averaged over the seeds (:meth:`ucadi_flwr.evaluation.delong.Shares.mean`) on the logit scale,
    and Newcombe's where that variance is 0 (:class:`ucadi_flwr.evaluation.intervals.AucEstimate`).
    It does not hold what another seed would do: that is the SD.
    """
    found = _shares(predictions, of_class)
    if found is None:
        return UNDEFINED
    of_mean = AucEstimate.of(Shares.mean(found))
    return estimate([one.auc for one in found], of_mean.interval(level))


def auc_difference(
    a: Predictions, b: Predictions, of_class: int, level: float = 0.95
) -> tuple[Estimate, float | None, str] | None:
    """AUC of A less that of B, mean over the same seeds: estimate, p and the test's name.

    DeLong's paired test (:func:`ucadi_flwr.evaluation.paired.delong_test`) of the differences of
    the shares, averaged over seeds. None with one class only.
    """
    found_a, found_b = _shares(a, of_class), _shares(b, of_class)
    if found_a is None or found_b is None:
        return None
    each = [one - other for one, other in zip(found_a, found_b, strict=True)]
    found = delong_test(Shares.mean(each), level)
    return estimate([one.auc for one in each], found.interval), found.p, found.method


def _shares(predictions: Predictions, of_class: int) -> list[Shares] | None:
    """Of every seed; None with one class only."""
    truth = predictions.labels == of_class
    each = [
        shares(truth, one[:, of_class], predictions.patients) for one in predictions.probabilities
    ]
    found = [one for one in each if one is not None]
    return found or None
