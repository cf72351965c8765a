"""Vectors of integers as slots, one integer each: weights, counts, histograms, summed exactly."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.errors import ProtectionError


@dataclass(frozen=True)
class IntegerCodec:
    """Encodes ``length`` integers so that the sum over ``max_sites`` sites is exact.

    **Overflow:** each site's integers are within ±⌊total / max_sites⌋, so every sum is within
    ±``total``, the largest that the scheme holds exactly.

    Args:
        length: integers in one vector.
        total: largest |sum| that is exact under the scheme.
        max_sites: most contributions to one sum.

    >>> codec = IntegerCodec(length=2, total=100, max_sites=4)
    >>> codec.decode(sum(codec.encode(np.array([25, -site])) for site in range(4))).tolist()
    [100, -6]
    """

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
        """The slots ``(length,)`` of one contribution.

        Raises :class:`ProtectionError` on another length or dtype, or a value beyond the bound.
        """
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

    def terms(self, slots: NDArray[np.int64], contributions: int) -> bytes:
        """What all contributions must have in common beside the plan: nothing."""
        return b""

    def decode(self, slots: NDArray[np.int64]) -> NDArray[np.int64]:
        """The sum ``(length,)`` as int64; CKKS returns each integer within a fraction of 1."""
        return np.rint(slots).astype(np.int64)
