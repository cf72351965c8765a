"""Slots: the numbers that a ciphertext holds, integers modulo t (BFV) or real numbers (CKKS)."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

SlotArray = NDArray[Any]
"""int64 within ±(t - 1)/2 for BFV, float64 for CKKS.

``(slots,)`` is one message or one ciphertext; ``(blocks, slots)`` has one row per ciphertext.
"""

PLAIN_MODULUS = 140_737_488_273_409
"""t: the largest prime of 47 bits that is 1 modulo 2·4096."""

HALF = (PLAIN_MODULUS - 1) // 2
"""Largest |sum| that a BFV slot holds."""


def to_residues(slots: NDArray[np.int64]) -> NDArray[np.int64]:
    """Map slots within ±(t - 1)/2 to residues from 0 to t - 1.

    >>> to_residues(np.array([-1, 0, 5])).tolist() == [PLAIN_MODULUS - 1, 0, 5]
    True
    """
    return slots + (slots >> 63 & PLAIN_MODULUS)  # the shift is -1 for negative slots, else 0


def from_residues(residues: NDArray[np.int64]) -> NDArray[np.int64]:
    """The inverse of :func:`to_residues`."""
    return np.where(residues > HALF, residues - PLAIN_MODULUS, residues)
