"""Constants and measurements for the tests of the phantom."""

import hashlib

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from ucadi_flwr.data.phantom.scanner import Scanner
from ucadi_flwr.data.phantom.volume import PhantomLabel

CLEAN = Scanner(5.0, "standard", 0.0, 0.0, contrast_agent=False)
SMALL = (16, 48, 48)
DISEASES: tuple[PhantomLabel, ...] = ("ground-glass", "consolidation")


def digest(array: NDArray[np.int16]) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


def lungs(hu: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Air that does not reach the edge of its slice, with holes (vessels) filled."""
    air = hu < -450
    parts, _ = ndimage.label(air)
    rim = np.concatenate([parts[:, [0, -1]].ravel(), parts[:, :, [0, -1]].ravel()])
    inner = air & ~np.isin(parts, np.unique(rim))
    return np.stack([ndimage.binary_fill_holes(plane) for plane in inner])
