"""What a site sends about a test: integers that can be summed over sites, never predictions.

A confusion matrix and, for every class, a histogram of the score over 4,096 bins of equal width in
log-odds. The AUC from these counts differs from the exact AUC only by ties within a bin.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

SCORE_BINS = 4096
LOG_ODDS_LIMIT = 16.0
"""Scores with larger |log-odds| fall into the first and last bins (p < 1.1e-7)."""


@dataclass(frozen=True)
class Counts:
    """The counts of one test.

    Attributes:
        confusion: int64 `(classes, classes)`, rows true, columns predicted.
        histograms: int64 `(classes, classes, SCORE_BINS)`. The first axis is the class c whose
            score is counted, the second is the true class of the cases.
    """

    confusion: NDArray[np.int64]
    histograms: NDArray[np.int64]

    @classmethod
    def of(cls, probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> Self:
        """Count the cases of a test.

        Args:
            probabilities: `(N, classes)`.
            labels: true class indices `(N,)`.

        >>> counts = Counts.of(np.array([[0.8, 0.2], [0.4, 0.6]]), np.array([0, 1]))
        >>> counts.confusion.tolist(), counts.auc(positive=1)
        ([[1, 0], [0, 1]], 1.0)
        """
        classes = probabilities.shape[1]
        confusion = np.zeros((classes, classes), np.int64)
        np.add.at(confusion, (labels, probabilities.argmax(axis=1)), 1)
        histograms = np.zeros((classes, classes, SCORE_BINS), np.int64)
        for c in range(classes):
            np.add.at(histograms[c], (labels, score_bin(probabilities[:, c])), 1)
        return cls(confusion, histograms)

    @classmethod
    def from_vector(cls, vector: NDArray[np.int64], classes: int) -> Self:
        """The inverse of :meth:`to_vector`; ValueError if the numbers cannot be counts."""
        if vector.dtype != np.int64 or vector.shape != (length_of(classes),):
            raise ValueError(f"counts of {classes} classes cannot be {vector.dtype} {vector.shape}")
        if (vector < 0).any():
            raise ValueError("a count is below zero")
        confusion = vector[: classes**2].reshape(classes, classes)
        return cls(confusion, vector[classes**2 :].reshape(classes, classes, SCORE_BINS))

    def to_vector(self) -> NDArray[np.int64]:
        """One flat int64 vector of :func:`length_of` numbers, for a message."""
        return np.concatenate([self.confusion.ravel(), self.histograms.ravel()])

    def __add__(self, other: Self) -> Self:
        return type(self)(self.confusion + other.confusion, self.histograms + other.histograms)

    def auc(self, positive: int) -> float | None:
        """AUC of one class against the others from the binned scores; None with only one class.

        A tie counts half.
        """
        positives = self.histograms[positive, positive]
        negatives = self.histograms[positive].sum(axis=0) - positives
        pairs = int(positives.sum()) * int(negatives.sum())
        if pairs == 0:
            return None
        below = np.cumsum(negatives) - negatives
        return float((positives * (below + 0.5 * negatives)).sum() / pairs)


def length_of(classes: int) -> int:
    """Number of integers in the counts of a test with this number of classes."""
    return classes**2 * (1 + SCORE_BINS)


def score_bin(scores: NDArray[np.float64]) -> NDArray[np.intp]:
    """The bin of each probability, by its log-odds; same shape, from 0 to ``SCORE_BINS`` − 1."""
    with np.errstate(divide="ignore"):
        log_odds = np.log(scores) - np.log1p(-scores)
    position = np.clip(log_odds / (2 * LOG_ODDS_LIMIT) + 0.5, 0.0, 1.0)
    return np.minimum((position * SCORE_BINS).astype(np.intp), SCORE_BINS - 1)
