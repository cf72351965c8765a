"""Which cases have similar features: t-SNE as a picture, the silhouette as a number."""

import numpy as np
from numpy.typing import NDArray
from sklearn.manifold import TSNE
from sklearn.metrics import silhouette_score
from threadpoolctl import threadpool_limits

MAX_PERPLEXITY = 30.0


def perplexity_of(cases: int) -> float:
    """The perplexity for t-SNE: 30, or a third of the other cases if that is less."""
    return min(MAX_PERPLEXITY, (cases - 1) / 3)


def tsne(features: NDArray[np.float32], seed: int = 0) -> NDArray[np.float64]:
    """Place cases in a plane so that similar cases are close (van der Maaten & Hinton, 2008).

    JMLR 9:2579. It starts from the principal components (Kobak & Berens, Nature Communications
    10:5416, 2019) and uses one thread: the same features and seed give the same picture on one
    machine. The distances between groups and the sizes of groups mean little.

    Args:
        features: `(n, f)`, n at least 4.
        seed: of the random generator.

    Returns:
        coordinates `(n, 2)`.
    """
    with threadpool_limits(limits=1):
        method = TSNE(perplexity=perplexity_of(len(features)), init="pca", random_state=seed)
        return np.asarray(method.fit_transform(features), np.float64)


def silhouette(features: NDArray[np.float32], groups: NDArray[np.int64]) -> float | None:
    """Mean silhouette, from −1 to 1 (Rousseeuw 1987); it is of the features, not of a picture.

    1: the groups are well separated; 0: a case is as near to another group as to its own. None with
    one group, or with one group for each case.

    Args:
        features: `(n, f)`.
        groups: index of the group of each case, `(n,)`.
    """
    if not 2 <= len(np.unique(groups)) < len(groups):
        return None
    return float(silhouette_score(features, groups))
