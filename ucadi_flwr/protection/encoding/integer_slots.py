"""Vectors of integers as slots, one each: weights, counts and histograms, added exactly."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.errors import ProtectionError


@dataclass(frozen=True)
class IntegerCodec:
    """``length`` integers; those of ``max_sites`` sites cannot add up beyond ±``total``."""

    length: int
    total: int
    max_sites: int

    @property
    def slots(self) -> int:
        """Number of slots of one vector."""
        return self.length

    @property
    def bound(self) -> int:
        """Largest |integer| that one site may add."""
        return self.total // self.max_sites

    def encode(self, vector: NDArray[np.int64]) -> NDArray[np.int64]:
        """Slots ``(length,)``; refuse another length, type or a value beyond the bound."""
        if vector.dtype != np.int64 or vector.shape != (self.length,):
            raise ProtectionError(
                f"the vector is {vector.dtype} {vector.shape}, expected int64 ({self.length},)"
            )
        largest = max(int(vector.max()), -int(vector.min()))
        if largest > self.bound:
            raise ProtectionError(
                f"an integer of {largest} cannot be added exactly; {self.bound} is the largest for "
                f"{self.max_sites} sites"
            )
        return vector

    def agreed(self, slots: NDArray[np.int64], contributions: int) -> bytes:
        """Sites need not agree on anything to add integers."""
        return b""

    def decode(self, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        """The sum ``(length,)`` as int64; CKKS gives it within a fraction of 1."""
        return np.rint(slots).astype(np.int64)
