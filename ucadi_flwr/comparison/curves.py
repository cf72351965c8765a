"""The mean ROC curve over seeds, and its pointwise band over patients."""

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.comparison.cases import Predictions
from ucadi_flwr.comparison.resampling import DRAWS_AT_ONCE, drawn
from ucadi_flwr.results.analysis import Roc

POINTS = 101
"""Steps of the false-positive rate, from 0 to 1."""

MAX_DROPPED = 0.1
"""If more than this proportion of the draws have only one class, there is no band."""


def mean_roc(predictions: Predictions, positive: int, level: float = 0.95) -> Roc | None:
    """Sensitivity at equal steps of the FPR, averaged over seeds; None if there is only one class.

    Vertical averaging (Fawcett, Pattern Recognition Letters 27:861, 2006): where the curve of a
    seed is vertical, its upper end counts. The band is pointwise, between percentiles of the mean
    curves of draws of patients; its ends are None if more than ``MAX_DROPPED`` of the draws have
    only one class. The first point is the corner (0, 0).

    Args:
        predictions: of one strategy on one test set.
        positive: index of the positive class.
        level: of the band.
    """
    truth = predictions.labels == positive
    if truth.all() or not truth.any():
        return None
    grid = np.arange(POINTS) / (POINTS - 1)  # computed like an FPR, so that equal values are equal
    once = np.ones((1, len(truth)))
    scores = predictions.probabilities[:, :, positive]
    mean = np.mean([_curves(truth, of_seed, once, grid) for of_seed in scores], axis=0)[0]
    counts = drawn(predictions.patient_count)
    curves = np.concatenate(
        [
            _mean_curves(truth, scores, counts[i : i + DRAWS_AT_ONCE, predictions.patients], grid)
            for i in range(0, len(counts), DRAWS_AT_ONCE)
        ]
    )
    low: list[float | None] = [None] * POINTS
    high: list[float | None] = [None] * POINTS
    if len(counts) - len(curves) <= MAX_DROPPED * len(counts):
        limits = np.quantile(curves, (0.5 - level / 2, 0.5 + level / 2), axis=0).tolist()
        low, high = limits
    corner = None if low[0] is None else 0.0
    return Roc(
        fpr=[0.0, *grid.tolist()],
        tpr=[0.0, *mean.tolist()],
        low=[corner, *low],
        high=[corner, *high],
    )


def _mean_curves(
    truth: NDArray[np.bool_],
    scores: NDArray[np.float64],
    counts: NDArray[np.uint8],
    grid: NDArray[np.float64],
) -> NDArray[np.float64]:
    """The mean curve over seeds of each draw that has both classes."""
    weights = counts.astype(np.float64)
    both = weights[:, truth].any(axis=1) & weights[:, ~truth].any(axis=1)
    curves = [_curves(truth, of_seed, weights[both], grid) for of_seed in scores]
    return np.asarray(np.mean(curves, axis=0), np.float64)


def _curves(
    truth: NDArray[np.bool_],
    scores: NDArray[np.float64],
    weights: NDArray[np.float64],
    grid: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Sensitivity at each FPR of the grid, for each row of the weights `(draws, N)`.

    A case of weight 2 counts twice, and a case of weight 0 not at all.
    """
    order = np.argsort(-scores)
    ends = np.flatnonzero(np.append(np.diff(scores[order]) < 0, True))  # of runs of equal scores
    weights, positive = weights[:, order], truth[order]
    zero = np.zeros((len(weights), 1))
    hits = np.hstack([zero, np.cumsum(weights * positive, axis=1)[:, ends]])
    alarms = np.hstack([zero, np.cumsum(weights * ~positive, axis=1)[:, ends]])
    curves = np.empty((len(weights), len(grid)))
    for i, (tpr, fpr) in enumerate(zip(hits / hits[:, -1:], alarms / alarms[:, -1:], strict=True)):
        at = np.searchsorted(fpr, grid, side="right") - 1
        after = np.minimum(at + 1, len(fpr) - 1)
        width = fpr[after] - fpr[at]
        share = np.divide(grid - fpr[at], width, out=np.zeros_like(grid), where=width > 0)
        curves[i] = tpr[at] + share * (tpr[after] - tpr[at])
    return curves
