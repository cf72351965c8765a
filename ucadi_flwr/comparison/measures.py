"""Every measure of one arm: a row of the analysis."""

from collections.abc import Sequence

import numpy as np

from ucadi_flwr.comparison.arms import Arm
from ucadi_flwr.comparison.auc import auc_estimate
from ucadi_flwr.comparison.cases import Predictions
from ucadi_flwr.comparison.curves import mean_roc
from ucadi_flwr.comparison.probabilities import brier, calibration_bins, ece
from ucadi_flwr.comparison.rates import Rate, rate, rate_or_undefined
from ucadi_flwr.comparison.seeds import mean
from ucadi_flwr.evaluation.counts import Counts
from ucadi_flwr.results.analysis import UNDEFINED, Estimate, Tested


def measure_arm(arm: Arm, classes: Sequence[str], positive: int) -> Tested:
    """All measures of an arm; curves only for a main arm, the binned AUC only for scans.

    Args:
        arm: one strategy's model, or its local models, on one test set.
        classes: names of the task's classes.
        positive: index of the positive class.
    """
    predictions = arm.predictions
    return Tested(
        strategy=arm.strategy,
        trained_at=arm.trained_at,
        tested_at=arm.tested_at,
        held_out=arm.held_out,
        unit=arm.unit,
        cases=len(predictions.labels),
        patients=predictions.patient_count,
        positives=int((predictions.labels == positive).sum()),
        seeds=list(predictions.seeds),
        figures=all_measures(predictions, positive),
        auc_by_class={name: auc_estimate(predictions, i) for i, name in enumerate(classes)},
        auc_binned=auc_binned(predictions, positive) if arm.unit == "scan" else None,
        confusion=confusion(predictions),
        roc=mean_roc(predictions, positive) if arm.main else None,
        calibration=calibration_bins(predictions, positive) if arm.main else [],
    )


def all_measures(predictions: Predictions, positive: int) -> dict[str, Estimate]:
    """The measures by name, in a fixed order; undefined if any seed does not define it.

    Sensitivity, specificity, precision, FPR and F1 are of the decision "the positive class is the
    most probable"; accuracy is the proportion of cases whose class is right, as in results.json.
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
    """The proportion of cases whose class is right."""
    right = predictions.decisions == predictions.labels
    proportion = rate(right, np.ones_like(right), predictions.patients)
    assert proportion is not None, "every case counts"  # noqa: S101
    return proportion


def auc_binned(predictions: Predictions, positive: int) -> float | None:
    """Mean over seeds of the AUC from the counts that a real site would send; None with one class.

    See :mod:`ucadi_flwr.evaluation.counts`.
    """
    of_seeds = [
        Counts.of(probabilities, predictions.labels).auc(positive)
        for probabilities in predictions.probabilities
    ]
    defined = [auc for auc in of_seeds if auc is not None]
    return mean(defined) if defined else None


def confusion(predictions: Predictions) -> list[list[int]]:
    """Number of cases by true class (rows) and decision (columns), summed over seeds."""
    classes = predictions.probabilities.shape[2]
    table = np.zeros((classes, classes), np.int64)
    for decisions in predictions.decisions:
        np.add.at(table, (predictions.labels, decisions), 1)
    counts: list[list[int]] = table.tolist()
    return counts
