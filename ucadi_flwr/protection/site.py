"""A site's end: seal what it sends, open the sum that comes back.

All sites of a run hold the same key, so that any of them can open any contribution that it gets
hold of. The server gets none of them open. Who can do what is told in ``docs/protection.md``.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.errors import ProtectionError
from ucadi_flwr.protection import frame
from ucadi_flwr.protection.encoding.bfv_slots import share
from ucadi_flwr.protection.encoding.layout import State
from ucadi_flwr.protection.frame import Expected, Kind, MessageContext
from ucadi_flwr.protection.kdf import derive
from ucadi_flwr.protection.keys import SiteKey
from ucadi_flwr.protection.plan import IntegerPlan, ModelPlan, Plan, expected, rows_shape
from ucadi_flwr.protection.scheme.ciphertexts import Cipher, Row
from ucadi_flwr.protection.scheme.schemes import scheme


@dataclass(frozen=True)
class Opened:
    """The weighted mean of the members' models; ``share`` is the part of W that answered."""

    state: dict[str, NDArray[np.float32]] = field(repr=False)
    members: tuple[str, ...]
    share: float


@dataclass(frozen=True)
class OpenedIntegers:
    """The exact sum of the members' integers."""

    values: NDArray[np.int64] = field(repr=False)
    members: tuple[str, ...]


class SealedSite:
    """One site with its key. It opens no sum of fewer than ``min_sites`` members.

    With one member a sum is that member's model, with two it is each other's.
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
            plan: what all agreed on.
            message_context: run, round and attempt.
            state: this site's model.
            reference: the global model that all sites have just opened; it gives the ranges.
            weight: n_k × E_k, above 0.
            total_weight: W, what all weights that may answer add up to.
            multipliers: tensor → power of two by which this round's ranges are wider than usual.

        Raises :class:`ucadi_flwr.protection.encoding.ranges.OutOfRange` where a value does not fit.
        """
        units = share(weight, total_weight)
        body = plan.codec.encode(state, reference, multipliers or {}, units)
        return self._seal(plan, message_context, body)

    def seal_integers(
        self, plan: IntegerPlan, message_context: MessageContext, vector: NDArray[np.int64]
    ) -> bytes:
        """One contribution to an exact sum of integers (int64 ``(length,)``)."""
        return self._seal(plan, message_context, plan.codec.encode(vector))

    def open(self, plan: ModelPlan, message_context: MessageContext, blob: bytes) -> Opened:
        """The mean over those that answered. No knowledge of earlier rounds is needed.

        Raises :class:`ProtectionError`: keep the model of the last good round then.
        """
        body, members = self._open(plan, message_context, blob)
        state, alpha = plan.codec.decode(body, len(members))
        return Opened(state, members, alpha)

    def open_integers(
        self, plan: IntegerPlan, message_context: MessageContext, blob: bytes
    ) -> OpenedIntegers:
        """The exact sum over those that answered."""
        body, members = self._open(plan, message_context, blob)
        return OpenedIntegers(plan.codec.decode(body), members)

    def _seal(self, plan: Plan, message_context: MessageContext, body: Row) -> bytes:
        header = expected(plan, self._context, message_context, Kind.CONTRIBUTION)
        if header.binding in self._sealed:
            raise ProtectionError(
                f"the {message_context} is sealed already; a repeat is a new attempt"
            )
        tags, members = self._scheme.tags, (self.member,)
        rows = np.zeros(rows_shape(plan, self._scheme), self._cipher.dtype)
        slots = rows.reshape(-1)
        slots[tags.count :][: len(body)] = body
        agreement = self._agreement(header, plan.codec.agreed(body, 1))
        slots[: tags.count] = tags.of(self._mac_key, agreement, rows, members)
        self._sealed.add(header.binding)
        return frame.write(header, members, agreement, self._cipher.encrypt(rows))

    def _open(
        self, plan: Plan, message_context: MessageContext, blob: bytes
    ) -> tuple[Row, tuple[str, ...]]:
        header = expected(plan, self._context, message_context, Kind.SUM)
        found = frame.read(blob, header)
        members, tags = found.members, self._scheme.tags
        if len(members) < self.min_sites:
            raise ProtectionError(
                f"the sum is of {len(members)} sites; fewer than {self.min_sites} are not opened"
            )
        rows = self._cipher.decrypt(found.payload)
        slots = rows.reshape(-1)
        seen, body = slots[: tags.count].copy(), slots[tags.count :][: plan.codec.slots]
        slots[: tags.count] = 0
        agreement = self._agreement(header, plan.codec.agreed(body, len(members)))
        wanted = tags.of(self._mac_key, agreement, rows, members)
        if agreement != found.agreement or not tags.match(seen, wanted):
            raise ProtectionError(  # one message for every reason: it must teach a forger nothing
                f"the {message_context} does not open as the sum of {', '.join(members)}: wrong "
                "key, replayed, duplicated or altered; the last good model stays"
            )
        return body, members

    def _agreement(self, header: Expected, agreed: bytes) -> bytes:
        """A keyed digest of all that the members must have in common, ranges included."""
        return derive(self._mac_key, "agreement", header.binding, agreed, size=frame.ID)
