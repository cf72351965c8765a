"""Grey axial slices of a CT volume: which ones, and which HU are black and white."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.data.series import Excluded, Reason
from ucadi_flwr.errors import DataError
from ucadi_flwr.recipes.task import S0_WINDOW_HU


@dataclass(frozen=True, slots=True)
class Cut:
    """How a volume is cut; a DataError if it cannot be cut so.

    ``share`` is that part of a volume, in the middle of its height, from which slices are taken.
    A chest CT begins in the abdomen and ends in the neck; its middle half is lung.
    """

    per_volume: int = 10
    share: float = 0.5
    window_hu: tuple[float, float] = S0_WINDOW_HU

    def __post_init__(self) -> None:
        low, high = self.window_hu
        if self.per_volume < 1:
            raise DataError(f"per-volume is {self.per_volume}: take at least 1 slice a volume")
        if not 0 < self.share <= 1:
            raise DataError(f"share is {self.share:g}: take a part above 0 and up to 1")
        if not 0 < high - low < math.inf:
            raise DataError(f"window is {low:g} to {high:g}: give two HU, the lower one first")


def slice_numbers(slices: int, cut: Cut) -> list[int]:
    """Which of a volume's slices: as many as asked, or all of the middle share if it has fewer.

    The share is divided into equal parts, and the middle slice of each part is taken.
    """
    inside = max(round(slices * cut.share), 1)
    first = (slices - inside) // 2
    wanted = min(cut.per_volume, inside)
    return [first + (2 * i + 1) * inside // (2 * wanted) for i in range(wanted)]


def grey_levels(hu: NDArray[np.float32], window_hu: tuple[float, float]) -> NDArray[np.uint8]:
    """HU (H, W) → 0, black, at the window's lower end and below, to 255 at its upper and above."""
    if np.isnan(hu).any():
        raise Excluded(Reason.UNREADABLE, "a slice has voxels that are not numbers")
    low, high = window_hu
    inside = np.clip(hu.astype(np.float64), low, high)
    return np.rint((inside - low) * 255 / (high - low)).astype(np.uint8)


def unique_names(stems: Iterable[str]) -> list[str]:
    """Names for images that may share a stem: ``a``, ``a``, ``b`` → ``a``, ``a-2``, ``b``.

    Upper and lower case count as the same, as some file systems take them to be. A backslash
    becomes ``_``: a path in a manifest has none.
    """
    taken: set[str] = set()
    names = []
    for stem in stems:
        plain = stem.replace("\\", "_")
        name, copy = plain, 1
        while name.casefold() in taken:
            copy += 1
            name = f"{plain}-{copy}"
        taken.add(name.casefold())
        names.append(name)
    return names
