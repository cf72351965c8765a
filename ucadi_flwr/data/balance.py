"""Class balancing by oversampling: which of a site's training cases are used more than once (S2).

S2 (Yang et al., FTL) augments rarer classes and does not say how. Here an oversampled case passes
through the recipe's random transforms, and every case of a class is repeated once before any case
is repeated twice.
"""

from collections.abc import Mapping, Sequence

import numpy as np


def oversampled_indices(labels: Sequence[int], rates: Mapping[int, float], seed: int) -> list[int]:
    """Indices of the additional cases, class by class; the same seed gives the same indices.

    Args:
        labels: class index of every case.
        rates: class index → factor by which its number of cases grows, at least 1; classes that are
            not named keep their cases. If empty, every class grows to the most frequent one.
        seed: of this round, at least 0.

    >>> oversampled_indices([0, 0, 0, 1], {}, seed=0)  # two more of class 1
    [3, 3]
    """
    classes, counts = np.unique(np.asarray(labels, np.int64), return_counts=True)
    indices: list[int] = []
    for index, count in zip(classes.tolist(), counts.tolist(), strict=True):
        target = round(rates.get(index, 1.0) * count) if rates else int(counts.max())
        cases = np.flatnonzero(np.asarray(labels) == index)
        order = np.random.default_rng([seed, index]).permutation(cases)
        indices += np.resize(order, target - count).tolist()
    return indices
