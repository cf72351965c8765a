"""ROC curves small enough to store, and a band of sensitivity around them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import roc_curve

from ucadi_flwr.evaluation.cases import as_clusters, as_scores, as_truth
from ucadi_flwr.evaluation.intervals import MAX_DROPPED, resamples, z_value

MAX_POINTS = 200


@dataclass(frozen=True)
class Roc:
    """Points of the empirical ROC curve, from (0, 0) to (1, 1), at most ``MAX_POINTS``."""

    fpr: list[float]
    sensitivity: list[float]


@dataclass(frozen=True)
class Band:
    """Mean sensitivity over bootstrap draws and its percentile limits, at each FPR of a grid.

    Pointwise: each limit holds at its own FPR, not the whole curve at once. Where nearly every draw
    is at 1, so is ``low``, and the mean is a little below it. All None where more than
    ``MAX_DROPPED`` of the draws had one class only.
    """

    fpr: list[float]
    sensitivity: list[float] | None
    low: list[float] | None
    high: list[float] | None
    draws: int
    dropped: int


def roc(truth: ArrayLike, scores: ArrayLike, points: int = MAX_POINTS) -> Roc | None:
    """The ROC curve of scores `(N,)` against the truth `(N,)`; None with one class.

    Above ``points`` corners it keeps both ends and those nearest to equal steps along the curve in
    FPR + sensitivity: every point is a true one, and none is lost by more than a step.
    """
    positive = as_truth(truth)
    values = as_scores(scores, len(positive))
    if not 2 <= points <= MAX_POINTS:
        raise ValueError(f"2 to {MAX_POINTS} points, not {points}")
    if positive.all() or not positive.any():
        return None
    fpr, sensitivity, _ = roc_curve(positive, values)
    if len(fpr) > points:
        along = fpr + sensitivity
        steps = np.linspace(0.0, 2.0, points)
        kept = np.unique(np.searchsorted(along, steps))
        fpr, sensitivity = fpr[kept], sensitivity[kept]
    return Roc(fpr.tolist(), sensitivity.tolist())


def band(
    truth: ArrayLike,
    scores: ArrayLike,
    clusters: ArrayLike | None = None,
    draws: int = 1000,
    seed: int = 0,
    level: float = 0.95,
    points: int = 101,
) -> Band:
    """Pointwise band of sensitivity, by a bootstrap over patients, at equal steps of FPR.

    Vertical averaging (Fawcett, Pattern Recognition Letters 27:861, 2006, algorithm 3): the curve
    of each draw is read at each FPR, at its upper end where it is vertical, on the line between its
    corners elsewhere. Truth, scores and patients are `(N,)`.
    """
    z_value(level)
    positive = as_truth(truth)
    values = as_scores(scores, len(positive))
    patients = as_clusters(clusters, len(positive))
    if not 2 <= points <= MAX_POINTS:
        raise ValueError(f"2 to {MAX_POINTS} points, not {points}")
    grid = np.linspace(0.0, 1.0, points)
    drawn = (_read(positive[i], values[i], grid) for i in resamples(patients, draws, seed))
    curves = [curve for curve in drawn if curve is not None]
    dropped = draws - len(curves)
    if dropped > MAX_DROPPED * draws:
        return Band(grid.tolist(), None, None, None, draws, dropped)
    stack = np.array(curves)
    low, high = np.quantile(stack, (0.5 - level / 2, 0.5 + level / 2), axis=0)
    mean = stack.mean(axis=0)
    return Band(grid.tolist(), mean.tolist(), low.tolist(), high.tolist(), draws, dropped)


def _read(
    positive: NDArray[np.bool_], scores: NDArray[np.float64], grid: NDArray[np.float64]
) -> NDArray[np.float64] | None:
    """Sensitivity of the empirical curve at each FPR of the grid; None with one class."""
    order = np.argsort(-scores)
    ends = np.flatnonzero(np.append(np.diff(scores[order]) < 0, True))  # of equal scores
    hits = np.concatenate([[0], np.cumsum(positive[order])[ends]])
    alarms = np.concatenate([[0], ends + 1]) - hits
    if hits[-1] == 0 or alarms[-1] == 0:
        return None
    fpr, sensitivity = alarms / alarms[-1], hits / hits[-1]
    at = np.searchsorted(fpr, grid, side="right") - 1
    after = np.minimum(at + 1, len(fpr) - 1)
    width = fpr[after] - fpr[at]
    share = np.divide(grid - fpr[at], width, out=np.zeros_like(grid), where=width > 0)
    read: NDArray[np.float64] = sensitivity[at] + share * (sensitivity[after] - sensitivity[at])
    return read
