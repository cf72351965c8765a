"""Measures of one test, from predictions (exact) or from summed counts (binned AUC)."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, roc_auc_score

from ucadi_flwr.evaluation.counts import Counts


@dataclass(frozen=True)
class TestMeasures:
    """The measures of one model on one site's test cases; None if not defined there.

    Sensitivity and specificity are of the decision "the positive class is the most probable", the
    AUC is of its probability. Accuracy and confusion (rows true, columns predicted) are over all
    classes.
    """

    __test__ = False  # not a test of pytest's

    n: int
    auc: float | None
    sensitivity: float | None
    specificity: float | None
    accuracy: float
    confusion: list[list[int]]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)


def from_predictions(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64], positive: int
) -> TestMeasures:
    """Exact measures of one test.

    Args:
        probabilities: `(N, classes)`.
        labels: true class indices `(N,)`.
        positive: index of the positive class.
    """
    classes = probabilities.shape[1]
    confusion = confusion_matrix(labels, probabilities.argmax(axis=1), labels=range(classes))
    truth = labels == positive
    both = bool(truth.any() and not truth.all())
    auc = float(roc_auc_score(truth, probabilities[:, positive])) if both else None
    return _measures(np.asarray(confusion, np.int64), auc, positive)


def from_counts(counts: Counts, positive: int) -> TestMeasures:
    """The same measures from counts that sites sent; only the AUC differs, because it is binned."""
    return _measures(counts.confusion, counts.auc(positive), positive)


def _measures(confusion: NDArray[np.int64], auc: float | None, positive: int) -> TestMeasures:
    n = int(confusion.sum())
    positives = int(confusion[positive].sum())
    hits = int(confusion[positive, positive])
    false_alarms = int(confusion[:, positive].sum()) - hits
    negatives = n - positives
    return TestMeasures(
        n=n,
        auc=auc,
        sensitivity=hits / positives if positives else None,
        specificity=1.0 - false_alarms / negatives if negatives else None,
        accuracy=float(np.trace(confusion)) / n,
        confusion=confusion.tolist(),
    )
