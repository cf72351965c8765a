"""Which cases have similar features: t-SNE for the eye, and silhouettes for a number."""

import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE
from sklearn.metrics import silhouette_score
from threadpoolctl import threadpool_limits

MAX_PERPLEXITY = 30.0


def perplexity_of(cases: int) -> float:
    """30, or a third of the other cases where that is less: each needs some that are not near."""
    return min(MAX_PERPLEXITY, (cases - 1) / 3)


def tsne(features: NDArray[np.float32], seed: int = 0) -> NDArray[np.float64]:
    """A plane `(n, 2)` in which near cases are near (van der Maaten & Hinton, JMLR 9:2579, 2008).

    ``features`` `(n, f)`, n at least 4. It starts from the principal components (Kobak & Berens,
    Nature Communications 10:5416, 2019) and takes one thread: the same features and seed give the
    same picture on one machine. Distances between groups and their sizes mean little.
    """
    with threadpool_limits(limits=1):
        method = TSNE(perplexity=perplexity_of(len(features)), init="pca", random_state=seed)
        return np.asarray(method.fit_transform(features), np.float64)


def silhouette(features: NDArray[np.float32], groups: NDArray[np.int64]) -> float | None:
    """Mean silhouette of the groups `(n,)` in the features' own space (Rousseeuw 1987), −1 to 1.

    1: each group is by itself; 0: a case is as near to another group as to its own. None with one
    group, or with as many as cases.
    """
    if not 2 <= len(np.unique(groups)) < len(groups):
        return None
    return float(silhouette_score(features, groups))
