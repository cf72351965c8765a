"""A model as the slots of a CKKS plaintext: Σα, then α·x, a float64 each."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.errors import ProtectionError
from ucadi_flwr.protection.encoding.bfv_slots import SHARE_UNITS
from ucadi_flwr.protection.encoding.layout import Layout, State


@dataclass(frozen=True)
class CkksModelCodec:
    """The counterpart of :class:`~ucadi_flwr.protection.encoding.bfv_slots.BfvModelCodec` for CKKS.

    It needs no ranges.
    """

    layout: Layout

    @property
    def slots(self) -> int:
        """Number of slots of one model."""
        return 1 + self.layout.values

    def encode(
        self, state: State, reference: State, multipliers: Mapping[str, int], share_units: int
    ) -> NDArray[np.float64]:
        """Slots ``(slots,)`` of one contribution; ``reference`` and ``multipliers`` do nothing."""
        alpha = share_units / SHARE_UNITS
        return np.concatenate([[alpha], alpha * self.layout.flatten(state).astype(np.float64)])

    def agreed(self, slots: NDArray[np.float64], contributions: int) -> bytes:
        """Nothing: sites need no common range."""
        return b""

    def decode(
        self, slots: NDArray[np.float64], contributions: int
    ) -> tuple[dict[str, NDArray[np.float32]], float]:
        """The weighted mean of a sum of contributions, and Σα, the share that answered."""
        alpha = float(slots[0])
        if not 0.0 < alpha < 1.0 + 1e-6:
            raise ProtectionError(f"the shares add up to {alpha:g}")
        return self.layout.unflatten((slots[1:] / alpha).astype(np.float32)), alpha
