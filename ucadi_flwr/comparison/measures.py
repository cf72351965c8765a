"""Every figure of one recipe on one test set: a row of the analysis."""

from collections.abc import Sequence

import numpy as np

from ucadi_flwr.comparison.arms import Arm
from ucadi_flwr.comparison.auc import auc_estimate
from ucadi_flwr.comparison.cases import Predictions
from ucadi_flwr.comparison.curves import mean_roc
from ucadi_flwr.comparison.probabilities import brier, calibration_bins, ece
from ucadi_flwr.comparison.rates import Rate, rate, rate_or_undefined
from ucadi_flwr.comparison.seeds import UNDEFINED, mean
from ucadi_flwr.evaluation.counts import Counts
from ucadi_flwr.results.analysis import Estimate, Tested


def tested(arm: Arm, classes: Sequence[str], positive: int) -> Tested:
    """The row; curves only where the arm is its strategy's answer, the binned AUC only of scans."""
    found = arm.predictions
    return Tested(
        strategy=arm.strategy,
        trained_at=arm.trained_at,
        tested_at=arm.tested_at,
        held_out=arm.held_out,
        unit=arm.unit,
        cases=len(found.labels),
        patients=found.patient_count,
        positives=int((found.labels == positive).sum()),
        seeds=list(found.seeds),
        figures=figures(found, positive),
        auc_by_class={name: auc_estimate(found, i) for i, name in enumerate(classes)},
        auc_binned=auc_binned(found, positive) if arm.unit == "scan" else None,
        confusion=confusion(found),
        roc=mean_roc(found, positive) if arm.main else None,
        calibration=calibration_bins(found, positive) if arm.main else [],
    )


def figures(predictions: Predictions, positive: int) -> dict[str, Estimate]:
    """All of them, in a fixed order; what is not defined in every seed has a mean of None.

    Sensitivity, specificity, precision, FPR and F1 are of "argmax is the positive class"; accuracy
    is the share of cases whose class is right, as in results.json.
    """
    positives = np.broadcast_to(predictions.labels == positive, predictions.decisions.shape)
    called = predictions.decisions == positive

    f1 = rate(called & positives, called | positives, predictions.patients)
    return {
        "auc": auc_estimate(predictions, positive),
        "accuracy": accuracy(predictions).estimate(),
        "sensitivity": rate_or_undefined(rate(called, positives, predictions.patients)),
        "specificity": rate_or_undefined(rate(~called, ~positives, predictions.patients)),
        "precision": rate_or_undefined(rate(positives, called, predictions.patients)),
        "fpr": rate_or_undefined(rate(called, ~positives, predictions.patients)),
        "f1": f1.as_f1() if f1 else UNDEFINED,
        "ece": ece(predictions, positive),
        "brier": brier(predictions, positive),
    }


def accuracy(predictions: Predictions) -> Rate:
    """The share of cases whose class is right."""
    right = predictions.decisions == predictions.labels
    found = rate(right, np.ones_like(right), predictions.patients)
    assert found is not None, "every case counts"  # noqa: S101
    return found


def auc_binned(predictions: Predictions, positive: int) -> float | None:
    """Mean over seeds of the AUC from the counts that a real site would send."""
    each = [Counts.of(one, predictions.labels).auc(positive) for one in predictions.probabilities]
    found = [one for one in each if one is not None]
    return mean(found) if found else None


def confusion(predictions: Predictions) -> list[list[int]]:
    """Rows true, columns predicted, summed over seeds."""
    classes = predictions.probabilities.shape[2]
    found = np.zeros((classes, classes), np.int64)
    for decided in predictions.decisions:
        np.add.at(found, (predictions.labels, decided), 1)
    counts: list[list[int]] = found.tolist()
    return counts
