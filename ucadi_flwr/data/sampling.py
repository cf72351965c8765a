"""Adaptive slice sampling: which D of a CT's z slices the network sees.

S0 (Bai et al. 2021) takes 16 slices, with a stride that grows with the number of slices and a
random start that leaves out more of the ends of long scans. For other depths the thresholds and
margins scale with D / 16.
"""

import hashlib
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms import MapTransform, Randomizable, RandomizableTrait
from numpy.typing import NDArray

S0_DEPTH = 16


def start_range(slices: int, depth: int, *, training: bool) -> tuple[int, int, int]:
    """The stride and the half-open range `[low, high)` of the first slice.

    ``slices`` is z, the number of slices of the scan, and must be greater than ``depth``.
    """
    scale = depth / S0_DEPTH
    if slices <= 80 * scale:
        return 1, 0, slices - depth
    if slices <= 160 * scale:
        return 2, round(10 * scale), slices - round(60 * scale)
    margin, end = (20, 130) if training else (30, 120)
    return 5, round(margin * scale), slices - round(end * scale)


def slice_indices(
    slices: int, depth: int, rng: np.random.Generator | np.random.RandomState, *, training: bool
) -> NDArray[np.intp]:
    """The indices, shape `(D,)`, of one random sample of a scan with z > D slices."""
    stride, low, high = start_range(slices, depth, training=training)
    if isinstance(rng, np.random.Generator):
        start = int(rng.integers(low, high))
    else:
        start = int(rng.randint(low, high))
    return start + stride * np.arange(depth)


def take(volume: torch.Tensor, depth: int, indices: NDArray[np.intp] | None) -> torch.Tensor:
    """The chosen slices of `(1, z, H, W)`, or the whole scan padded once to D with zeros.

    Zero is the cohort's mean HU, as the volume is z-scored already.
    """
    if indices is not None:
        return volume[:, torch.from_numpy(indices)]
    missing = depth - volume.shape[1]
    before = missing // 2
    return torch.nn.functional.pad(volume, (0, 0, 0, 0, before, missing - before))


class SampleSlicesd(MapTransform, Randomizable):
    """One random sample a scan: `(1, z, H, W)` → `(1, D, H, W)`, for training."""

    def __init__(self, keys: str, depth: int) -> None:
        MapTransform.__init__(self, keys)
        self.depth = depth

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Draw a start and take the slices of every key."""
        out = dict(data)
        for key in self.key_iterator(out):
            slices = out[key].shape[1]
            fits = slices > self.depth
            indices = slice_indices(slices, self.depth, self.R, training=True) if fits else None
            out[key] = take(out[key], self.depth, indices)
        return out


class StackSlicesd(MapTransform, RandomizableTrait):
    """S independent samples a scan: `(1, z, H, W)` → `(S, 1, D, H, W)`, for testing.

    The samples are random over cases but the same for every model: the case's name is the seed.
    """

    def __init__(self, keys: str, depth: int, samples: int, name_key: str = "name") -> None:
        super().__init__(keys)
        self.depth, self.samples, self.name_key = depth, samples, name_key

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Take S samples of every key."""
        out = dict(data)
        digest = hashlib.sha256(str(out[self.name_key]).encode()).digest()
        rng = np.random.default_rng(int.from_bytes(digest[:8], "big"))
        for key in self.key_iterator(out):
            slices = out[key].shape[1]
            fits = slices > self.depth
            draws = [
                slice_indices(slices, self.depth, rng, training=False) if fits else None
                for _ in range(self.samples if fits else 1)
            ]
            out[key] = torch.stack([take(out[key], self.depth, indices) for indices in draws])
        return out
