"""The mean ROC curve over seeds and its band over cases."""

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.comparison.cases import Predictions
from ucadi_flwr.comparison.resampling import drawn
from ucadi_flwr.results.analysis import Roc

POINTS = 101

MAX_DROPPED = 0.1
"""Largest share of draws with one class only for which a band is still given."""

_AT_ONCE = 100  # draws


def mean_roc(predictions: Predictions, positive: int, level: float = 0.95) -> Roc | None:
    """Sensitivity at equal steps of the FPR, averaged over seeds; None with one class.

    Vertical averaging (Fawcett, Pattern Recognition Letters 27:861, 2006), each seed's curve read
    at its upper end where it is vertical. The band is pointwise, between percentiles of that mean
    over draws of patients; None where more than ``MAX_DROPPED`` of the draws have one class only.
    The first point is (0, 0), the corner.
    """
    truth = predictions.labels == positive
    if truth.all() or not truth.any():
        return None
    grid = np.arange(POINTS) / (POINTS - 1)  # as exact as a share of cases
    once = np.ones((1, len(truth)))
    scores = predictions.probabilities[:, :, positive]
    mean = np.mean([_curves(truth, one, once, grid) for one in scores], axis=0)[0]
    counts = drawn(predictions.patient_count)
    curves = np.concatenate(
        [
            _mean_curves(truth, scores, counts[i : i + _AT_ONCE, predictions.patients], grid)
            for i in range(0, len(counts), _AT_ONCE)
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
    """Means over seeds, of those draws that have both classes."""
    weights = counts.astype(np.float64)
    both = weights[:, truth].any(axis=1) & weights[:, ~truth].any(axis=1)
    curves = [_curves(truth, one, weights[both], grid) for one in scores]
    return np.asarray(np.mean(curves, axis=0), np.float64)


def _curves(
    truth: NDArray[np.bool_],
    scores: NDArray[np.float64],
    weights: NDArray[np.float64],
    grid: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Sensitivity of each weighted sample's curve, `(draws, N)` weights, at each FPR of the grid.

    A case of weight 2 is there twice, and one of weight 0 not at all.
    """
    order = np.argsort(-scores)
    ends = np.flatnonzero(np.append(np.diff(scores[order]) < 0, True))  # of equal scores
    weights, positive = weights[:, order], truth[order]
    zero = np.zeros((len(weights), 1))
    hits = np.hstack([zero, np.cumsum(weights * positive, axis=1)[:, ends]])
    alarms = np.hstack([zero, np.cumsum(weights * ~positive, axis=1)[:, ends]])
    found = np.empty((len(weights), len(grid)))
    for i, (tpr, fpr) in enumerate(zip(hits / hits[:, -1:], alarms / alarms[:, -1:], strict=True)):
        at = np.searchsorted(fpr, grid, side="right") - 1
        after = np.minimum(at + 1, len(fpr) - 1)
        width = fpr[after] - fpr[at]
        share = np.divide(grid - fpr[at], width, out=np.zeros_like(grid), where=width > 0)
        found[i] = tpr[at] + share * (tpr[after] - tpr[at])
    return found
