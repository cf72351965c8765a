"""Resampling patients once for all figures: how often each draw has each patient.

A draw with a patient twice sums that patient's cases twice, so a figure made of sums over cases
needs one matrix product for all draws. Every recipe and figure meets the same draws.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.evaluation.intervals import Interval, z_value

DRAWS = 1000

_AT_ONCE = 100  # draws, so that 10,000 patients take 8 MB


def drawn(patients: int) -> NDArray[np.uint8]:
    """The draws of all figures: how often each has each patient, `(DRAWS, patients)`."""
    return multiplicities(patients, DRAWS)


@lru_cache(maxsize=16)
def multiplicities(patients: int, draws: int, seed: int = 0) -> NDArray[np.uint8]:
    """How often each draw has each patient, `(draws, patients)`, read-only.

    As many patients as there are, with replacement (Efron & Tibshirani 1993, ch. 13). A count fits
    into a byte: one patient 256 times in a draw has a chance of about 1 / 256!.
    """
    rng = np.random.default_rng(seed)
    each = [rng.integers(0, patients, patients) for _ in range(draws)]
    found = np.array([np.bincount(one, minlength=patients) for one in each], np.uint8)
    found.flags.writeable = False
    return found


def sums(of_patients: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums over the patients of every draw, `(draws, …)`, of what each adds, `(patients, …)`."""
    counts = drawn(len(of_patients))
    flat = of_patients.reshape(len(of_patients), -1)
    parts = [
        counts[i : i + _AT_ONCE].astype(np.float64) @ flat for i in range(0, len(counts), _AT_ONCE)
    ]
    return np.concatenate(parts).reshape(-1, *of_patients.shape[1:])


def percentile(values: NDArray[np.float64], level: float = 0.95) -> Interval:
    """Between the quantiles of the draws' values."""
    z_value(level)
    low, high = np.quantile(values, (0.5 - level / 2, 0.5 + level / 2))
    return Interval(float(low), float(high))
