"""Figures of one positive class against the rest, from a confusion matrix, with intervals."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ucadi_flwr.evaluation.intervals import Proportion, proportion


@dataclass(frozen=True)
class BinaryFigures:
    """S2 eqs. 6–11; a figure whose denominator is 0 is None.

    With TP, FN, FP, TN of the positive class: ``precision`` TP/(TP+FP), ``sensitivity``
    TP/(TP+FN), ``specificity`` TN/(TN+FP), ``fpr`` FP/(TN+FP), ``accuracy`` (TP+TN)/all, each with
    its Wilson interval; ``f1`` 2TP/(2TP+FP+FN), which is no proportion of cases and has none.

    Accuracy is that of "positive or not": with more than two classes it is not below the share of
    cases whose class is right.
    """

    f1: float | None
    precision: Proportion | None
    sensitivity: Proportion | None
    specificity: Proportion | None
    fpr: Proportion | None
    accuracy: Proportion | None


def binary_figures(confusion: ArrayLike, positive: int, level: float = 0.95) -> BinaryFigures:
    """Figures from counts `(classes, classes)`, rows true, columns predicted (by argmax).

    A case is called positive where ``positive`` is the argmax. The intervals take cases as
    independent: see :func:`ucadi_flwr.evaluation.intervals.wilson`.
    """
    counts = np.asarray(confusion)
    if counts.ndim != 2 or counts.shape[0] != counts.shape[1]:
        raise ValueError(f"a confusion matrix is (classes, classes), not {counts.shape}")
    if not np.issubdtype(counts.dtype, np.integer) or (counts < 0).any():
        raise ValueError("a confusion matrix holds counts: whole numbers, none below 0")
    if not 0 <= positive < len(counts):
        raise ValueError(f"class {positive} of {len(counts)} classes")
    tp = int(counts[positive, positive])
    fn = int(counts[positive].sum()) - tp
    fp = int(counts[:, positive].sum()) - tp
    tn = int(counts.sum()) - tp - fn - fp
    return BinaryFigures(
        f1=2 * tp / (2 * tp + fp + fn) if tp + fp + fn else None,
        precision=proportion(tp, tp + fp, level),
        sensitivity=proportion(tp, tp + fn, level),
        specificity=proportion(tn, tn + fp, level),
        fpr=proportion(fp, tn + fp, level),
        accuracy=proportion(tp + tn, tp + fn + fp + tn, level),
    )
