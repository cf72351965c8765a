"""``protection: none``: the same two ends without encryption, for comparison and trusted networks.

**Threat model.** None: the server reads every model and every weight, and can change the mean. The
mean is computed by the accumulator that the caller passes in, so that it is the same to the bit as
without this module.
"""

import struct
from collections.abc import Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.errors import ProtectionError
from ucadi_flwr.protection import frame
from ucadi_flwr.protection.encoding.layout import State
from ucadi_flwr.protection.encoding.shares import share_units
from ucadi_flwr.protection.frame import Frame, Kind, MessageContext
from ucadi_flwr.protection.keys import NO_KEY
from ucadi_flwr.protection.plan import IntegerPlan, MessagePlan, ModelPlan, expected
from ucadi_flwr.protection.server import Membership
from ucadi_flwr.protection.site import OpenedIntegers, OpenedModel

_HEAD = struct.Struct("<QQ")  # weight, total weight: plan.PLAIN_HEAD_BYTES


class StreamingMean(Protocol):
    """A weighted mean to which models are added one at a time."""

    def add(self, state: State, weight: int) -> None:
        """Add one model."""

    def mean(self) -> dict[str, NDArray[np.float32]]:
        """The mean of those added."""


class PlainSite:
    """The counterpart of :class:`ucadi_flwr.protection.site.SealedSite` without encryption."""

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
        """The model as float32 bytes; ``reference`` and ``multipliers`` are unused."""
        share_units(weight, total_weight)  # the same check of the weight as with encryption
        head, flat = _HEAD.pack(weight, total_weight), plan.layout.flatten(state)
        return self._write(plan, message_context, head, flat.astype("<f4", copy=False).data)

    def seal_integers(
        self, plan: IntegerPlan, message_context: MessageContext, vector: NDArray[np.int64]
    ) -> bytes:
        """The integers as int64 bytes."""
        return self._write(plan, message_context, plan.codec.encode(vector).astype("<i8").tobytes())

    def open(self, plan: ModelPlan, message_context: MessageContext, blob: bytes) -> OpenedModel:
        """The mean that the server computed."""
        received = self._read(plan, message_context, blob)
        weight, total_weight, state = _model(plan, received)
        return OpenedModel(state, received.members, weight / total_weight)

    def open_integers(
        self, plan: IntegerPlan, message_context: MessageContext, blob: bytes
    ) -> OpenedIntegers:
        """The sum that the server computed."""
        received = self._read(plan, message_context, blob)
        values = np.frombuffer(received.payload, "<i8").astype(np.int64)
        return OpenedIntegers(values, received.members)

    def _write(
        self, plan: MessagePlan, message_context: MessageContext, *payload: bytes | memoryview
    ) -> bytes:
        header = expected(plan, NO_KEY, message_context, Kind.CONTRIBUTION)
        return frame.write(header, (self.member,), bytes(frame.ID_BYTES), *payload)

    def _read(self, plan: MessagePlan, message_context: MessageContext, blob: bytes) -> Frame:
        received = frame.read(blob, expected(plan, NO_KEY, message_context, Kind.SUM))
        if len(received.members) < self.min_sites:
            raise ProtectionError(
                f"the sum is of {len(received.members)} sites; {self.min_sites} are needed"
            )
        return received


class PlainSum:
    """The counterpart of :class:`ucadi_flwr.protection.server.SealedSum` without encryption."""

    def __init__(
        self,
        plan: MessagePlan,
        message_context: MessageContext,
        mean: StreamingMean,
        min_sites: int = 1,
    ) -> None:
        self._membership = Membership(NO_KEY, plan, message_context, min_sites)
        self._plan, self._mean = plan, mean
        self._weight = self._total_weight = 0
        self._integers = np.zeros(plan.length if isinstance(plan, IntegerPlan) else 0, np.int64)

    @property
    def members(self) -> tuple[str, ...]:
        """Who is in the sum so far."""
        return tuple(self._membership.members)

    def add(self, blob: bytes, sender: str | None = None) -> str:
        """Add one contribution and return the name that it bears."""
        contribution = self._membership.check(blob, sender)
        if isinstance(self._plan, IntegerPlan):
            vector = np.frombuffer(contribution.payload, "<i8").astype(np.int64)
            self._integers += self._plan.codec.encode(vector)
        else:
            weight, total_weight, state = _model(self._plan, contribution)
            if self.members and total_weight != self._total_weight:
                raise ProtectionError(f"'{contribution.members[0]}' declares another total weight")
            share_units(weight, total_weight)  # a site may not have checked it
            self._mean.add(state, weight)
            self._weight, self._total_weight = self._weight + weight, total_weight
        return self._membership.enter(contribution)

    def result(self) -> bytes:
        """The mean, or the sum, as bytes for every site."""
        self._membership.check_quorum()
        if isinstance(self._plan, IntegerPlan):
            return self._membership.close(self._integers.astype("<i8").tobytes())
        mean = self._plan.layout.flatten(self._mean.mean()).astype("<f4", copy=False)
        return self._membership.close(_HEAD.pack(self._weight, self._total_weight), mean.data)


def _model(plan: ModelPlan, message: Frame) -> tuple[int, int, dict[str, NDArray[np.float32]]]:
    """Weight, total weight and the checked model of a message."""
    weight, total_weight = _HEAD.unpack_from(message.payload)
    flat = np.frombuffer(message.payload, "<f4", offset=_HEAD.size).astype(np.float32)
    state = plan.layout.unflatten(flat)
    plan.layout.check(state)
    return weight, total_weight, state
