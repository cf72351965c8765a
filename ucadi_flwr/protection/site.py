"""A site's end: seal what it sends, open the sum that comes back.

**Who can open what.** All sites of a run hold the same key, so that any site can open any
contribution that it obtains. The server holds no key and can open none. ``docs/protection.md``
states what follows from this.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.errors import ProtectionError
from ucadi_flwr.protection import frame
from ucadi_flwr.protection.encoding.layout import State
from ucadi_flwr.protection.encoding.shares import share_units
from ucadi_flwr.protection.encoding.slots import SlotArray
from ucadi_flwr.protection.frame import Expected, Kind, MessageContext
from ucadi_flwr.protection.kdf import derive
from ucadi_flwr.protection.keys import SiteKey
from ucadi_flwr.protection.plan import (
    IntegerPlan,
    MessagePlan,
    ModelPlan,
    expected,
    rows_shape,
)
from ucadi_flwr.protection.scheme.ciphertexts import Cipher
from ucadi_flwr.protection.scheme.schemes import scheme


@dataclass(frozen=True)
class OpenedModel:
    """The weighted mean of the members' models; ``share`` is the part of W that answered."""

    state: dict[str, NDArray[np.float32]] = field(repr=False)
    members: tuple[str, ...]
    share: float


@dataclass(frozen=True)
class OpenedIntegers:
    """The exact sum of the members' integers, int64 ``(length,)``."""

    values: NDArray[np.int64] = field(repr=False)
    members: tuple[str, ...]


class SealedSite:
    """One site with its key. It opens no sum of fewer than ``min_sites`` members.

    The sum of one member is that member's model; of two, each can subtract its own and obtain the
    other's.

    Args:
        key: the secret key that all sites share.
        member: this site's name, 1 to 64 printable bytes.
        min_sites: the quorum of a sum.

    Raises :class:`ProtectionError` on a name that a frame cannot hold.
    """

    def __init__(self, key: SiteKey, member: str, min_sites: int = 3) -> None:
        frame.member_name(member)
        self.member, self.min_sites = member, min_sites
        self._scheme = scheme(key.scheme)
        self._context, self._mac_key = key.context, key.derived("tags")
        self._cipher = Cipher(self._scheme.lattice, self._scheme.encoding(), key.secret)
        self._sealed: set[bytes] = set()

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
        """One contribution to the weighted mean, as bytes for the server.

        Args:
            plan: what both ends agreed on.
            message_context: run, round and attempt.
            state: this site's model, float32.
            reference: the global model that all sites have just opened; it gives the ranges.
            weight: n_k × E_k (examples × local epochs), above 0.
            total_weight: W, the sum of the weights of all sites that may answer.
            multipliers: tensor → power of two by which this round's ranges are wider than usual.

        Raises :class:`ucadi_flwr.protection.encoding.ranges.OutOfRange` where a value does not fit,
        and :class:`ProtectionError` where plan, key, state or weight do not fit, or where this
        object has sealed for the same context before.
        """
        share = share_units(weight, total_weight)
        body = plan.codec.encode(state, reference, multipliers or {}, share)
        return self._seal(plan, message_context, body)

    def seal_integers(
        self, plan: IntegerPlan, message_context: MessageContext, vector: NDArray[np.int64]
    ) -> bytes:
        """One contribution to an exact sum of integers (int64 ``(length,)``).

        Raises :class:`ProtectionError` where the vector does not fit the plan, or where this object
        has sealed for the same context before.
        """
        return self._seal(plan, message_context, plan.codec.encode(vector))

    def open(self, plan: ModelPlan, message_context: MessageContext, blob: bytes) -> OpenedModel:
        """The mean over the members of a sum. No knowledge of earlier rounds is needed.

        Args:
            plan: what both ends agreed on.
            message_context: run, round and attempt of the sum.
            blob: the server's bytes.

        Raises :class:`ProtectionError` where the sum cannot be trusted: the caller must then keep
        the model of the last good round.
        """
        body, members = self._open(plan, message_context, blob)
        state, share = plan.codec.decode(body, len(members))
        return OpenedModel(state, members, share)

    def open_integers(
        self, plan: IntegerPlan, message_context: MessageContext, blob: bytes
    ) -> OpenedIntegers:
        """The exact sum over the members; raises as :meth:`open` does."""
        body, members = self._open(plan, message_context, blob)
        return OpenedIntegers(plan.codec.decode(body), members)

    def _seal(self, plan: MessagePlan, message_context: MessageContext, body: SlotArray) -> bytes:
        header = expected(plan, self._context, message_context, Kind.CONTRIBUTION)
        if header.binding in self._sealed:
            raise ProtectionError(
                f"the {message_context} is sealed already; a repeat is a new attempt"
            )
        tags, members = self._scheme.tags, (self.member,)
        rows = np.zeros(rows_shape(plan, self._scheme), self._cipher.dtype)
        slots = rows.reshape(-1)
        slots[tags.count :][: len(body)] = body
        terms_digest = self._terms_digest(header, plan.codec.terms(body, 1))
        slots[: tags.count] = tags.of(self._mac_key, terms_digest, rows, members)
        self._sealed.add(header.binding)
        return frame.write(header, members, terms_digest, self._cipher.encrypt(rows))

    def _open(
        self, plan: MessagePlan, message_context: MessageContext, blob: bytes
    ) -> tuple[SlotArray, tuple[str, ...]]:
        header = expected(plan, self._context, message_context, Kind.SUM)
        received = frame.read(blob, header)
        members, tags = received.members, self._scheme.tags
        if len(members) < self.min_sites:
            raise ProtectionError(
                f"the sum is of {len(members)} sites; fewer than {self.min_sites} are not opened"
            )
        rows = self._cipher.decrypt(received.payload)
        slots = rows.reshape(-1)
        opened, body = slots[: tags.count].copy(), slots[tags.count :][: plan.codec.slots]
        slots[: tags.count] = 0
        terms_digest = self._terms_digest(header, plan.codec.terms(body, len(members)))
        computed = tags.of(self._mac_key, terms_digest, rows, members)
        if terms_digest != received.terms_digest or not tags.match(opened, computed):
            raise ProtectionError(  # one message for all reasons, so that a forger learns nothing
                f"the {message_context} does not open as the sum of {', '.join(members)}: wrong "
                "key, replayed, duplicated or altered; the last good model stays"
            )
        return body, members

    def _terms_digest(self, header: Expected, terms: bytes) -> bytes:
        """A keyed digest of all that the members must have in common, ranges included."""
        return derive(self._mac_key, "agreement", header.binding, terms, size=frame.ID_BYTES)
