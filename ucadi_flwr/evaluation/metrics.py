"""Figures of one test, from predictions (exact) or from summed counts (AUC binned)."""

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import confusion_matrix, roc_auc_score

from ucadi_flwr.evaluation.counts import Counts


@dataclass(frozen=True)
class TestFigures:
    """One model on one site's test cases; a figure that is not defined there is None.

    Decision: argmax is the positive class. AUC: of the positive class's probability. Accuracy
    and confusion (rows true, columns predicted) are over all classes.
    """

    __test__ = False  # pytest: not a test

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
) -> TestFigures:
    """Exact figures from probabilities `(N, classes)` and class indices `(N,)`."""
    classes = probabilities.shape[1]
    confusion = confusion_matrix(labels, probabilities.argmax(axis=1), labels=range(classes))
    truth = labels == positive
    both = bool(truth.any() and not truth.all())
    auc = float(roc_auc_score(truth, probabilities[:, positive])) if both else None
    return _figures(np.asarray(confusion, np.int64), auc, positive)


def from_counts(counts: Counts, positive: int) -> TestFigures:
    """The same from counts that sites sent; only AUC is binned."""
    return _figures(counts.confusion, counts.auc(positive), positive)


def _figures(confusion: NDArray[np.int64], auc: float | None, positive: int) -> TestFigures:
    n = int(confusion.sum())
    positives = int(confusion[positive].sum())
    hits = int(confusion[positive, positive])
    false_alarms = int(confusion[:, positive].sum()) - hits
    negatives = n - positives
    return TestFigures(
        n=n,
        auc=auc,
        sensitivity=hits / positives if positives else None,
        specificity=1.0 - false_alarms / negatives if negatives else None,
        accuracy=float(np.trace(confusion)) / n,
        confusion=confusion.tolist(),
    )
