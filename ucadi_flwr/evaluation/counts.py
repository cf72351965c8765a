"""What a site tells about a test: integers that can be summed over sites, never predictions.

A confusion matrix and, for every class, a histogram of the score over 4,096 bins that are equal
in log-odds. AUC from them differs from the exact one only by ties within a bin.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

BINS = 4096
LOG_ODDS_LIMIT = 16.0
"""Scores with |log-odds| beyond this share the outermost bins (p < 1.1e-7)."""


@dataclass(frozen=True)
class Counts:
    """Counts of one test.

    ``confusion``: `(classes, classes)`, rows true, columns predicted. ``histograms``: `(classes,
    classes, BINS)`, the score of class c (first axis) of the cases whose true class is the second.
    """

    confusion: NDArray[np.int64]
    histograms: NDArray[np.int64]

    @classmethod
    def of(cls, probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> Self:
        """Count probabilities `(N, classes)` and true class indices `(N,)`."""
        classes = probabilities.shape[1]
        confusion = np.zeros((classes, classes), np.int64)
        np.add.at(confusion, (labels, probabilities.argmax(axis=1)), 1)
        histograms = np.zeros((classes, classes, BINS), np.int64)
        for c in range(classes):
            np.add.at(histograms[c], (labels, score_bin(probabilities[:, c])), 1)
        return cls(confusion, histograms)

    @classmethod
    def from_vector(cls, vector: NDArray[np.int64], classes: int) -> Self:
        """The inverse of :meth:`to_vector`; ValueError where the numbers cannot be counts."""
        if vector.dtype != np.int64 or vector.shape != (length_of(classes),):
            raise ValueError(f"counts of {classes} classes cannot be {vector.dtype} {vector.shape}")
        if (vector < 0).any():
            raise ValueError("a count is below zero")
        confusion = vector[: classes**2].reshape(classes, classes)
        return cls(confusion, vector[classes**2 :].reshape(classes, classes, BINS))

    def to_vector(self) -> NDArray[np.int64]:
        """One flat int64 vector, for the wire."""
        return np.concatenate([self.confusion.ravel(), self.histograms.ravel()])

    def __add__(self, other: Self) -> Self:
        return type(self)(self.confusion + other.confusion, self.histograms + other.histograms)

    def auc(self, positive: int) -> float | None:
        """One-vs-rest AUC of the binned scores (ties half); None with one class only."""
        positives = self.histograms[positive, positive]
        negatives = self.histograms[positive].sum(axis=0) - positives
        pairs = int(positives.sum()) * int(negatives.sum())
        if pairs == 0:
            return None
        below = np.cumsum(negatives) - negatives
        return float((positives * (below + 0.5 * negatives)).sum() / pairs)


def length_of(classes: int) -> int:
    """Number of integers in the counts of a test with so many classes."""
    return classes**2 * (1 + BINS)


def score_bin(scores: NDArray[np.float64]) -> NDArray[np.intp]:
    """Probability → bin index, by log-odds."""
    with np.errstate(divide="ignore"):
        log_odds = np.log(scores) - np.log1p(-scores)
    share = np.clip(log_odds / (2 * LOG_ODDS_LIMIT) + 0.5, 0.0, 1.0)
    return np.minimum((share * BINS).astype(np.intp), BINS - 1)
