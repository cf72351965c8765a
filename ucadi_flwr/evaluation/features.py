"""What a model makes of a case before its last layer, kept on the site's own disk.

Features say much of an image: like predictions they stay with whoever holds the images, and no
message has them. Only a model of all sites has features that can be shown together.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import nn

from ucadi_flwr.errors import DataError

MAX_CASES = 500
"""Of a site's test; of more, as many are drawn."""

MAX_FEATURES = 1024
"""Of a case; of more, as many are drawn, the same for all sites and models."""

MAX_BYTES = 64 * 2**20
"""A larger file is refused unread."""


@contextmanager
def recorded(layer: nn.Module) -> Iterator[list[torch.Tensor]]:
    """While it is open, every input `(B, F)` of the layer is added to the list, in order."""
    inputs: list[torch.Tensor] = []

    def record(_: nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        inputs.append(arguments[0].detach().float().cpu())

    handle = layer.register_forward_pre_hook(record)
    try:
        yield inputs
    finally:
        handle.remove()


def write_features(
    path: Path, inputs: Sequence[torch.Tensor], labels: NDArray[np.int64], seed: int = 0
) -> None:
    """Each case's mean over its samples, float32 `(n, f)`, and its class index `(n,)`.

    ``inputs``: of all samples, those of one case in a row, equally many a case. Of more than
    ``MAX_CASES`` or ``MAX_FEATURES`` a choice that depends on the seed and the number alone.
    """
    rows = torch.cat(list(inputs)).numpy()
    if len(rows) % len(labels):
        raise ValueError(f"{len(rows)} samples of {len(labels)} cases are not equally many a case")
    features = rows.reshape(len(labels), -1, rows.shape[1]).mean(axis=1)
    cases = chosen(len(labels), MAX_CASES, seed)
    kept = features[np.ix_(cases, chosen(features.shape[1], MAX_FEATURES, seed))]
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    save_file({"features": np.ascontiguousarray(kept), "labels": labels[cases]}, partial)
    partial.replace(path)


def read_features(path: Path, classes: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Features `(n, f)` and class indices `(n,)`; :class:`DataError` for a file without them."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path}: larger than {MAX_BYTES} bytes; not a file of features")
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
