"""The bootstrap over patients as in the textbook, case by case: a slow reference."""

from collections.abc import Callable, Sequence

import numpy as np

from ucadi_flwr.evaluation.intervals import Interval


def bootstrap(
    statistic: Callable[..., float],
    arrays: Sequence[np.ndarray],
    patients: Sequence[int] | np.ndarray | None = None,
    draws: int = 1000,
) -> Interval:
    """Percentile interval of a statistic of the arrays, each `(N, …)`; NaN draws are left out."""
    index = np.arange(len(arrays[0])) if patients is None else np.asarray(patients)
    cases = [np.flatnonzero(index == patient) for patient in range(index.max() + 1)]
    rng = np.random.default_rng(0)
    values = []
    for _ in range(draws):
        drawn = np.concatenate([cases[p] for p in rng.integers(0, len(cases), len(cases))])
        values.append(statistic(*(array[drawn] for array in arrays)))
    low, high = np.nanquantile(values, (0.025, 0.975))
    return Interval(float(low), float(high))
