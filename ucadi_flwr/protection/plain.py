"""``protection: none``: the same two ends without encryption, for comparison and trusted networks.

The server reads every model and every weight. The mean is that of the accumulator which the
caller hands in, so that it is the same to the bit as without this room.
"""

import struct
from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.errors import ProtectionError
from ucadi_flwr.protection import frame
from ucadi_flwr.protection.encoding.bfv_slots import share
from ucadi_flwr.protection.encoding.layout import State
from ucadi_flwr.protection.frame import Frame, Kind, MessageContext
from ucadi_flwr.protection.keys import NO_KEY
from ucadi_flwr.protection.plan import IntegerPlan, ModelPlan, Plan, expected
from ucadi_flwr.protection.server import Membership
from ucadi_flwr.protection.site import Opened, OpenedIntegers

_HEAD = struct.Struct("<QQ")  # weight, total weight: plan.PLAIN_HEAD bytes


class Mean(Protocol):
    """A weighted mean that grows one contribution at a time."""

    def add(self, state: State, weight: int) -> None:
        """Add one model."""

    def mean(self) -> dict[str, NDArray[np.float32]]:
        """The mean of those added."""


class PlainSite:
    """The twin of :class:`ucadi_flwr.protection.site.SealedSite` that hides nothing."""

    def __init__(self, member: str, min_sites: int = 1) -> None:
        frame.member_name(member)
        self.member, self.min_sites = member, min_sites

    def seal(
        self,
        plan: ModelPlan,
        message_context: MessageContext,
        state: State,
        reference: State,
        weight: int,
        total_weight: int,
        multipliers: Mapping[str, int] | None = None,
    ) -> bytes:
        """The model as float32 bytes; ``reference`` and ``multipliers`` do nothing."""
        share(weight, total_weight)
        head, flat = _HEAD.pack(weight, total_weight), plan.layout.flatten(state)
        return self._write(plan, message_context, head, flat.astype("<f4", copy=False).data)

    def seal_integers(
        self, plan: IntegerPlan, message_context: MessageContext, vector: NDArray[np.int64]
    ) -> bytes:
        """The integers as int64 bytes."""
        return self._write(plan, message_context, plan.codec.encode(vector).astype("<i8").tobytes())

    def open(self, plan: ModelPlan, message_context: MessageContext, blob: bytes) -> Opened:
        """The mean that the server made."""
        found = self._read(plan, message_context, blob)
        weight, total, state = _model(plan, found)
        return Opened(state, found.members, weight / total)

    def open_integers(
        self, plan: IntegerPlan, message_context: MessageContext, blob: bytes
    ) -> OpenedIntegers:
        """The sum that the server made."""
        found = self._read(plan, message_context, blob)
        return OpenedIntegers(np.frombuffer(found.payload, "<i8").astype(np.int64), found.members)

    def _write(
        self, plan: Plan, message_context: MessageContext, *payload: bytes | memoryview
    ) -> bytes:
        header = expected(plan, NO_KEY, message_context, Kind.CONTRIBUTION)
        return frame.write(header, (self.member,), bytes(frame.ID), *payload)

    def _read(self, plan: Plan, message_context: MessageContext, blob: bytes) -> Frame:
        found = frame.read(blob, expected(plan, NO_KEY, message_context, Kind.SUM))
        if len(found.members) < self.min_sites:
            raise ProtectionError(
                f"the sum is of {len(found.members)} sites; {self.min_sites} are needed"
            )
        return found


class PlainSum:
    """The twin of :class:`ucadi_flwr.protection.server.SealedSum` that reads what it adds."""

    def __init__(
        self, plan: Plan, message_context: MessageContext, mean: Mean, min_sites: int = 1
    ) -> None:
        self._membership = Membership(NO_KEY, plan, message_context, min_sites)
        self._plan, self._mean = plan, mean
        self._weight = self._total = 0
        self._integers = np.zeros(plan.length if isinstance(plan, IntegerPlan) else 0, np.int64)

    @property
    def members(self) -> tuple[str, ...]:
        """Who is in the sum so far."""
        return tuple(self._membership.members)

    def add(self, blob: bytes, sender: str | None = None) -> str:
        """Add one contribution and return the name that it bears."""
        found = self._membership.check(blob, sender)
        if isinstance(self._plan, IntegerPlan):
            vector = np.frombuffer(found.payload, "<i8").astype(np.int64)
            self._integers += self._plan.codec.encode(vector)
        else:
            weight, total, state = _model(self._plan, found)
            if self.members and total != self._total:
                raise ProtectionError(f"'{found.members[0]}' declares another total weight")
            share(weight, total)
            self._mean.add(state, weight)
            self._weight, self._total = self._weight + weight, total
        return self._membership.enter(found)

    def result(self) -> bytes:
        """The mean, or the sum, as bytes for every site."""
        self._membership.check_quorum()
        if isinstance(self._plan, IntegerPlan):
            return self._membership.close(self._integers.astype("<i8").tobytes())
        mean = self._plan.layout.flatten(self._mean.mean()).astype("<f4", copy=False)
        return self._membership.close(_HEAD.pack(self._weight, self._total), mean.data)


def _model(plan: ModelPlan, found: Frame) -> tuple[int, int, dict[str, NDArray[np.float32]]]:
    weight, total = _HEAD.unpack_from(found.payload)
    flat = np.frombuffer(found.payload, "<f4", offset=_HEAD.size).astype(np.float32)
    state = plan.layout.unflatten(flat)
    plan.layout.check(state)
    return weight, total, state
