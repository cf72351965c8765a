"""Calibration of the positive class's probability, one against the rest."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.metrics import brier_score_loss

from ucadi_flwr.evaluation.inputs import as_scores, as_truth


@dataclass(frozen=True)
class Bin:
    """The cases whose probability is in [low, high); the last bin includes its upper end.

    ``mean``: their mean probability; ``observed``: the fraction of the ``count`` cases that is
    positive. Both are None in an empty bin.
    """

    low: float
    high: float
    count: int
    mean: float | None
    observed: float | None


def reliability(probabilities: ArrayLike, truth: ArrayLike, bins: int = 10) -> list[Bin]:
    """The bins of a reliability diagram, of equal width, including empty ones.

    Unlike :func:`sklearn.calibration.calibration_curve`, each bin has its number of cases.

    Args:
        probabilities: of the positive class, `(N,)`, from 0 to 1.
        truth: whether each case is positive, `(N,)`.
        bins: their number.

    >>> [(b.count, b.mean, b.observed) for b in reliability([0.1, 0.3, 0.9], [0, 1, 1], bins=2)]
    [(2, 0.2, 0.5), (1, 0.9, 1.0)]
    """
    positive, values = _checked(probabilities, truth)
    if bins < 1:
        raise ValueError(f"the number of bins must be at least 1, not {bins}")
    edges = np.arange(bins + 1) / bins
    index = np.minimum(np.searchsorted(edges, values, side="right") - 1, bins - 1)
    counts = np.bincount(index, minlength=bins)
    sums = np.bincount(index, values, bins)
    positives = np.bincount(index[positive], minlength=bins)
    return [
        Bin(
            low=float(edges[b]),
            high=float(edges[b + 1]),
            count=int(counts[b]),
            mean=float(sums[b] / counts[b]) if counts[b] else None,
            observed=float(positives[b] / counts[b]) if counts[b] else None,
        )
        for b in range(bins)
    ]


def ece(probabilities: ArrayLike, truth: ArrayLike, bins: int = 10) -> float:
    """Expected calibration error, Σ count/N |observed − mean| (Naeini et al., AAAI 2015).

    It is of the probability of the positive class, as in Naeini's paper, not of the confidence in
    the most probable class. It depends on the number of bins, and is above 0 by chance: by up to
    about 0.4 √(bins / N) for a calibrated model. Arguments as for :func:`reliability`.
    """
    rows = reliability(probabilities, truth, bins)
    total = sum(row.count for row in rows)
    return sum(
        row.count / total * abs(row.observed - row.mean)
        for row in rows
        if row.observed is not None and row.mean is not None
    )


def brier(probabilities: ArrayLike, truth: ArrayLike) -> float:
    """Mean (p − y)² with y 1 for a positive (Brier, Monthly Weather Review 78:1, 1950), 0 to 1."""
    positive, values = _checked(probabilities, truth)
    return float(brier_score_loss(positive, values, pos_label=True))


def _checked(
    probabilities: ArrayLike, truth: ArrayLike
) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    positive = as_truth(truth)
    values = as_scores(probabilities, len(positive))
    if values.min() < 0.0 or values.max() > 1.0:
        raise ValueError("a probability must be between 0 and 1")
    return positive, values
