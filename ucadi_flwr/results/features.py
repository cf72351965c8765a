"""What a model makes of a case before its last layer, kept on the site's own disk.

Features say much of an image: like predictions they stay with whoever holds the images, and no
message has them. Only a model of all sites has features that can be shown together.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ucadi_flwr.errors import DataError
from ucadi_flwr.files.atomic import replacing
from ucadi_flwr.limits import FEATURES_BYTES

MAX_CASES = 500
"""Of a site's test; of more, as many are drawn."""

MAX_FEATURES = 1024
"""Of a case; of more, as many are drawn, the same for all sites and models."""


def write_features(
    path: Path, samples: NDArray[np.float32], labels: NDArray[np.int64], seed: int = 0
) -> None:
    """Write each case's mean over its samples, float32 `(n, f)`, and its class index `(n,)`.

    Args:
        path: a .safetensors file, replaced if it exists.
        samples: `(n · s, f)`, the s samples of a case one after the other.
        labels: class indices `(n,)`.
        seed: of the draw where there are more than ``MAX_CASES`` or ``MAX_FEATURES``.
    """
    if len(samples) % len(labels):
        raise ValueError(
            f"{len(samples)} samples of {len(labels)} cases are not equally many a case"
        )
    features = samples.reshape(len(labels), -1, samples.shape[1]).mean(axis=1)
    cases = chosen(len(labels), MAX_CASES, seed)
    kept = features[np.ix_(cases, chosen(features.shape[1], MAX_FEATURES, seed))]
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        save_file({"features": np.ascontiguousarray(kept), "labels": labels[cases]}, partial)


def read_features(path: Path, classes: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Features `(n, f)` and class indices `(n,)`; :class:`DataError` for a file without them."""
    try:
        if path.stat().st_size > FEATURES_BYTES:
            raise DataError(f"{path}: larger than {FEATURES_BYTES} bytes; not a file of features")
        with safe_open(path, framework="np") as file:
            features, labels = file.get_tensor("features"), file.get_tensor("labels")
    except (OSError, SafetensorError) as error:
        raise DataError(f"{path}: no file of features ({error}); delete it, or run again") from None
    if (
        features.ndim != 2
        or labels.shape != features.shape[:1]
        or not features.size
        or not np.isfinite(features).all()
        or labels.dtype != np.int64
        or not ((labels >= 0) & (labels < classes)).all()
    ):
        raise DataError(f"{path}: not the features of cases of {classes} classes; delete it")
    return features.astype(np.float32), labels


def chosen(total: int, at_most: int, seed: int = 0) -> NDArray[np.intp]:
    """So many of ``total`` indices, in order: all, or a draw without replacement."""
    if total <= at_most:
        return np.arange(total)
    drawn = np.random.default_rng(seed).choice(total, at_most, replace=False)
    return np.asarray(np.sort(drawn), np.intp)
