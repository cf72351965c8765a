"""Predictions of two classes from the scores of class 1."""

import numpy as np
from numpy.typing import ArrayLike

from ucadi_flwr.comparison.cases import Predictions


def predictions(
    labels: ArrayLike, scores: ArrayLike, patients: ArrayLike | None = None
) -> Predictions:
    """Of `(seeds, N)` scores of class 1, or `(N,)` of one seed; without patients, one a case."""
    of_seeds = np.atleast_2d(np.asarray(scores, np.float64))
    truth = np.asarray(labels, np.int64)
    index = np.arange(len(truth)) if patients is None else np.asarray(patients, np.intp)
    both = np.stack([1 - of_seeds, of_seeds], axis=2)
    return Predictions(tuple(range(len(of_seeds))), truth, index, both)
