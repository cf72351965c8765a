"""Adaptive slice sampling: choose D of a CT's z slices as the network's input.

S0 (Bai et al. 2021, Methods) takes D = 16 slices at a random start. The stride grows with z, and
long scans lose more slices at both ends. For another D, the thresholds and margins of S0 are scaled
by D / 16.
"""

import hashlib
from collections.abc import Hashable, Mapping
from typing import Any

import numpy as np
import torch
from monai.transforms import MapTransform, Randomizable, RandomizableTrait
from numpy.typing import NDArray

S0_DEPTH = 16  # slices


def start_range(slices: int, depth: int, *, training: bool) -> tuple[int, int, int]:
    """Stride, and the half-open range `[low, high)` of the first slice (S0's table).

    Args:
        slices: z, the slices of the scan; greater than ``depth``.
        depth: D, the slices of a sample.
        training: testing uses other margins for scans of more than 160 slices.

    Returns:
        (stride, low, high), in slices.

    >>> start_range(100, 16, training=True)
    (2, 10, 40)
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
    """The slice indices of one random sample of a scan.

    Args:
        slices: z, the slices of the scan; greater than ``depth``.
        depth: D, the slices of a sample.
        rng: one number is drawn from it.
        training: as for :func:`start_range`.

    Returns:
        Indices of shape `(D,)`, in [0, z), in steps of the stride.

    >>> slice_indices(100, 16, np.random.default_rng(0), training=True)
    array([35, 37, 39, 41, 43, 45, 47, 49, 51, 53, 55, 57, 59, 61, 63, 65])
    """
    stride, low, high = start_range(slices, depth, training=training)
    if isinstance(rng, np.random.Generator):
        start = int(rng.integers(low, high))
    else:
        start = int(rng.randint(low, high))
    return start + stride * np.arange(depth)


def take_slices(volume: torch.Tensor, depth: int, indices: NDArray[np.intp] | None) -> torch.Tensor:
    """The chosen slices of a scan, or a short scan padded to D slices.

    Padding is symmetric and zero, which is the mean HU of the cohort in a z-scored volume.

    Args:
        volume: `(1, z, H, W)`, z-scored.
        depth: D, the slices of the result.
        indices: `(D,)`; None if z ≤ D.

    Returns:
        `(1, D, H, W)`.
    """
    if indices is not None:
        return volume[:, torch.from_numpy(indices)]
    missing = depth - volume.shape[1]
    before = missing // 2
    return torch.nn.functional.pad(volume, (0, 0, 0, 0, before, missing - before))


class SampleSlicesd(MapTransform, Randomizable):
    """MONAI transform for training: one sample of a scan, `(1, z, H, W)` → `(1, D, H, W)`."""

    def __init__(self, keys: str, depth: int) -> None:
        MapTransform.__init__(self, keys)
        self.depth = depth

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        """Sample the slices of every key."""
        out = dict(data)
        for key in self.key_iterator(out):
            slices = out[key].shape[1]
            enough = slices > self.depth
            indices = slice_indices(slices, self.depth, self.R, training=True) if enough else None
            out[key] = take_slices(out[key], self.depth, indices)
        return out


class StackSamplesd(MapTransform, RandomizableTrait):
    """MONAI transform for testing: S samples of a scan, `(1, z, H, W)` → `(S, 1, D, H, W)`.

    The case's name seeds the samples: they differ between cases and are the same for all models.
    A scan with z ≤ D gives one sample.
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
            enough = slices > self.depth
            draws = [
                slice_indices(slices, self.depth, rng, training=False) if enough else None
                for _ in range(self.samples if enough else 1)
            ]
            out[key] = torch.stack(
                [take_slices(out[key], self.depth, indices) for indices in draws]
            )
        return out
