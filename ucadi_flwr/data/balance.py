"""Class balancing by augmentation: which of a site's training cases are drawn again (S2).

S2 augments rarer classes and does not say how; here a case that is drawn again passes through the
task's random transforms, and every case of a class is drawn again before one is for the second
time.
"""

from collections.abc import Mapping, Sequence

import numpy as np


def drawn_again(labels: Sequence[int], rates: Mapping[int, float], seed: int) -> list[int]:
    """Indices of the cases that are drawn again, class by class; the same seed draws the same.

    Args:
        labels: class index of every case.
        rates: class index → times as many cases as it has, at least 1; others stay as they are.
            Without any, every class gets as many as the most frequent one.
        seed: of this epoch or round, at least 0.
    """
    classes, counts = np.unique(np.asarray(labels, np.int64), return_counts=True)
    again: list[int] = []
    for index, count in zip(classes.tolist(), counts.tolist(), strict=True):
        wanted = round(rates.get(index, 1.0) * count) if rates else int(counts.max())
        cases = np.flatnonzero(np.asarray(labels) == index)
        order = np.random.default_rng([seed, index]).permutation(cases)
        again += np.resize(order, wanted - count).tolist()
    return again
