"""The plan of a message: what both ends agree on before a round, all of it public.

A plan holds no secret and no value of a model. Its digest is part of every frame, so that two ends
whose plans differ refuse each other's messages before a ciphertext is read. All sizes follow from
the plan.
"""

import json
from dataclasses import dataclass
from functools import cached_property

from ucadi_flwr.errors import ProtectionError
from ucadi_flwr.protection.encoding.bfv_slots import BfvModelCodec
from ucadi_flwr.protection.encoding.ckks_slots import CkksModelCodec
from ucadi_flwr.protection.encoding.integer_slots import IntegerCodec
from ucadi_flwr.protection.encoding.layout import Layout
from ucadi_flwr.protection.frame import Expected, Kind, MessageContext, digest
from ucadi_flwr.protection.keys import ServerContext
from ucadi_flwr.protection.scheme.schemes import Scheme, largest_total, scheme

MAX_SITES = 1024
"""Most contributions to one sum: BFV's noise bound is computed for this number."""

PLAIN_HEAD_BYTES = 16
"""Bytes before the values of a message without encryption: weight and total, 64 bits each."""

_FORMAT = 1  # of the slots' order


@dataclass(frozen=True)
class ModelPlan:
    """A weighted mean of models.

    Args:
        scheme: ``none``, ``bfv`` or ``ckks``.
        layout: the tensors of the model.
        values_per_slot: 2, 3 or 4 packed values in a slot (BFV only).
        max_sites: most contributions to one sum, from 1 to :data:`MAX_SITES`.

    Raises :class:`ProtectionError` on other values.

    >>> plan = ModelPlan("bfv", Layout({"conv.weight": (64, 5, 13)}))
    >>> payload_size(plan, Kind.CONTRIBUTION), payload_size(plan, Kind.SUM)
    (28736, 57344)
    """

    scheme: str
    layout: Layout
    values_per_slot: int = 3
    max_sites: int = 128

    def __post_init__(self) -> None:
        _check(self.scheme, self.max_sites)
        if self.values_per_slot not in (2, 3, 4):
            raise ProtectionError(f"{self.values_per_slot} values a slot; 2, 3 or 4 are possible")

    @cached_property
    def digest(self) -> bytes:
        """16 bytes of SHA-256 over everything that both ends must have in common."""
        tensors = [[t.name, t.shape, t.packed] for t in self.layout.tensors]
        return _digest(self.scheme, self.max_sites, [self.values_per_slot, tensors])

    @cached_property
    def codec(self) -> BfvModelCodec | CkksModelCodec:
        """How a model becomes slots."""
        if self.scheme == "bfv":
            return BfvModelCodec(self.layout, self.values_per_slot, self.max_sites)
        return CkksModelCodec(self.layout)

    @property
    def plain_size(self) -> int:
        """Bytes of the payload without encryption."""
        return PLAIN_HEAD_BYTES + 4 * self.layout.values


@dataclass(frozen=True)
class IntegerPlan:
    """An exact sum of integer vectors: weights, counts or a histogram.

    Args:
        scheme: ``none``, ``bfv`` or ``ckks``.
        length: integers in each vector.
        max_sites: most contributions to one sum, from 1 to :data:`MAX_SITES`.

    Raises :class:`ProtectionError` on other values.
    """

    scheme: str
    length: int
    max_sites: int = 128

    def __post_init__(self) -> None:
        _check(self.scheme, self.max_sites)
        if self.length < 1:
            raise ProtectionError("a vector without integers cannot be protected")

    @cached_property
    def digest(self) -> bytes:
        """16 bytes of SHA-256 over everything that both ends must have in common."""
        return _digest(self.scheme, self.max_sites, ["integers", self.length])

    @cached_property
    def codec(self) -> IntegerCodec:
        """How integers become slots."""
        return IntegerCodec(self.length, largest_total(self.scheme), self.max_sites)

    @property
    def plain_size(self) -> int:
        """Bytes of the payload without encryption."""
        return 8 * self.length


MessagePlan = ModelPlan | IntegerPlan


def rows_shape(plan: MessagePlan, used: Scheme) -> tuple[int, int]:
    """(ciphertexts, slots of each) that hold the tags and the plan's slots."""
    slots = used.tags.count + plan.codec.slots
    return used.lattice.blocks(slots), used.lattice.slots


def payload_size(plan: MessagePlan, kind: Kind) -> int:
    """Bytes of the payload of a frame of this kind."""
    if plan.scheme == "none":
        return plan.plain_size
    used = scheme(plan.scheme)
    size = used.lattice.fresh_size if kind is Kind.CONTRIBUTION else used.lattice.sum_size
    return rows_shape(plan, used)[0] * size


def expected(
    plan: MessagePlan, context: ServerContext, message_context: MessageContext, kind: Kind
) -> Expected:
    """What a frame must look like.

    Args:
        plan: the plan of the message.
        context: scheme and key id.
        message_context: run, round, purpose and attempt.
        kind: a site's contribution or the server's sum.

    Raises :class:`ProtectionError` where plan and key are for different schemes.
    """
    if context.scheme != plan.scheme:
        raise ProtectionError(f"the key is for {context.scheme}, the plan for {plan.scheme}")
    members = 1 if kind is Kind.CONTRIBUTION else plan.max_sites
    size = payload_size(plan, kind)
    return Expected(plan.scheme, context.key_id, plan.digest, message_context, kind, members, size)


def _check(name: str, max_sites: int) -> None:
    largest_total(name)
    if not 1 <= max_sites <= MAX_SITES:
        raise ProtectionError(f"{max_sites} sites; 1 to {MAX_SITES} are possible")


def _digest(name: str, max_sites: int, content: list[object]) -> bytes:
    parameters = None if name == "none" else scheme(name).lattice.describe()
    text = json.dumps([_FORMAT, name, parameters, max_sites, content], separators=(",", ":"))
    return digest(text.encode())
