"""Resampling of patients, once for all measures: how often each draw contains each patient.

A draw that contains a patient twice sums that patient's cases twice. So a measure that is made of
sums over cases needs one matrix product for all draws. All strategies and measures use the same
draws.
"""

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.evaluation.intervals import Interval, z_value

DRAWS = 1000

DRAWS_AT_ONCE = 100
"""Draws that are computed together: with 10,000 patients they need 8 MB."""


def drawn(patients: int) -> NDArray[np.uint8]:
    """The draws of all measures: how often each contains each patient, `(DRAWS, patients)`."""
    return multiplicities(patients, DRAWS)


@lru_cache(maxsize=16)
def multiplicities(patients: int, draws: int, seed: int = 0) -> NDArray[np.uint8]:
    """How often each draw contains each patient, `(draws, patients)`, read-only.

    A draw has as many patients as there are, with replacement (Efron & Tibshirani 1993, ch. 13). A
    count fits in a byte: a draw contains a patient 256 times with a probability of about 1 / 256!.

    Args:
        patients: number of patients.
        draws: number of draws.
        seed: of the random generator.
    """
    rng = np.random.default_rng(seed)
    samples = [rng.integers(0, patients, patients) for _ in range(draws)]
    counts = np.array([np.bincount(sample, minlength=patients) for sample in samples], np.uint8)
    counts.flags.writeable = False
    return counts


def sums(of_patients: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums over the patients of every draw, `(draws, …)`, of one value each, `(patients, …)`."""
    counts = drawn(len(of_patients))
    flat = of_patients.reshape(len(of_patients), -1)
    parts = [
        counts[i : i + DRAWS_AT_ONCE].astype(np.float64) @ flat
        for i in range(0, len(counts), DRAWS_AT_ONCE)
    ]
    return np.concatenate(parts).reshape(-1, *of_patients.shape[1:])


def percentile(values: NDArray[np.float64], level: float = 0.95) -> Interval:
    """The percentile interval of the draws' values, `(draws,)`."""
    z_value(level)
    low, high = np.quantile(values, (0.5 - level / 2, 0.5 + level / 2))
    return Interval(float(low), float(high))
