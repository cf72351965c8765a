"""A model as the slots of a CKKS plaintext: Σα, then α·x, a float64 each."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.errors import ProtectionError
from ucadi_flwr.protection.encoding.layout import Layout, State
from ucadi_flwr.protection.encoding.shares import FULL_SHARE


@dataclass(frozen=True)
class CkksModelCodec:
    """Encodes a model for CKKS.

    The counterpart of :class:`~ucadi_flwr.protection.encoding.bfv_slots.BfvModelCodec`. Real
    numbers need no ranges.
    """

    layout: Layout

    @property
    def slots(self) -> int:
        """Number of slots of one model."""
        return 1 + self.layout.values

    def encode(
        self, state: State, reference: State, multipliers: Mapping[str, int], share: int
    ) -> NDArray[np.float64]:
        """The slots ``(slots,)`` of one contribution; ``reference`` and ``multipliers`` are unused.

        Raises :class:`ProtectionError` where the state does not fit the layout.
        """
        alpha = share / FULL_SHARE
        return np.concatenate([[alpha], alpha * self.layout.flatten(state).astype(np.float64)])

    def terms(self, slots: NDArray[np.float64], contributions: int) -> bytes:
        """What all contributions must have in common beside the plan: nothing."""
        return b""

    def decode(
        self, slots: NDArray[np.float64], contributions: int
    ) -> tuple[dict[str, NDArray[np.float32]], float]:
        """The weighted mean of a sum of contributions, and Σα, the share that answered.

        Raises :class:`ProtectionError` where Σα is not within 0 and 1.
        """
        alpha = float(slots[0])
        if not 0.0 < alpha < 1.0 + 1e-6:
            raise ProtectionError(f"the shares add up to {alpha:g}")
        return self.layout.unflatten((slots[1:] / alpha).astype(np.float32)), alpha
