"""Checks of the arrays of one test: the truth, the scores and the patients of its cases."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def as_truth(truth: ArrayLike) -> NDArray[np.bool_]:
    """Whether each case is positive, `(N,)`, from booleans or 0 and 1; ValueError otherwise."""
    array = np.asarray(truth)
    if array.ndim != 1 or array.size == 0:
        raise ValueError(f"one value for each case is needed, (N,) with N > 0, not {array.shape}")
    if array.dtype != np.bool_ and not np.isin(array, (0, 1)).all():
        raise ValueError("each case must be True or False (or 1 or 0)")
    return array.astype(np.bool_)


def as_scores(scores: ArrayLike, cases: int) -> NDArray[np.float64]:
    """Finite scores of ``cases`` cases, float64 `(N,)`; ValueError otherwise."""
    array = np.asarray(scores, np.float64)
    if array.shape != (cases,):
        raise ValueError(f"{cases} cases, but scores of shape {array.shape}")
    if not np.isfinite(array).all():
        raise ValueError("a score is not finite")
    return array


def as_clusters(clusters: ArrayLike | None, cases: int) -> NDArray[np.intp]:
    """The patient of each case as an index from 0, `(N,)`; for None, each case is a patient."""
    if clusters is None:
        return np.arange(cases)
    array = np.asarray(clusters)
    if array.shape != (cases,):
        raise ValueError(f"{cases} cases, but clusters of shape {array.shape}")
    return np.asarray(np.unique(array, return_inverse=True)[1], np.intp)
