"""The server's end: add contributions up without being able to open any."""

from ucadi_flwr.errors import ProtectionError
from ucadi_flwr.protection import frame
from ucadi_flwr.protection.frame import Frame, Kind, MessageContext
from ucadi_flwr.protection.keys import ServerContext
from ucadi_flwr.protection.plan import Plan, expected
from ucadi_flwr.protection.scheme.ciphertexts import Adder
from ucadi_flwr.protection.scheme.schemes import scheme


class Membership:
    """Who is in a sum: frames checked, members once each, all of one agreement."""

    def __init__(
        self, context: ServerContext, plan: Plan, message_context: MessageContext, quorum: int
    ) -> None:
        self.members: list[str] = []
        self._plan, self._quorum = plan, quorum
        self._in = expected(plan, context, message_context, Kind.CONTRIBUTION)
        self._out = expected(plan, context, message_context, Kind.SUM)
        self._agreement = b""

    def check(self, blob: bytes, sender: str | None) -> Frame:
        """A contribution's frame, unless it cannot be added to this sum."""
        found = frame.read(blob, self._in)
        member = found.members[0]
        if sender not in (None, member):
            raise ProtectionError(f"'{sender}' sent a contribution that bears the name '{member}'")
        if member in self.members:
            raise ProtectionError(f"'{member}' is in the sum already")
        if len(self.members) == self._plan.max_sites:
            raise ProtectionError(f"the plan has room for {self._plan.max_sites} sites")
        if self.members and found.agreement != self._agreement:
            raise ProtectionError(
                f"'{member}' works from another global model or other ranges than "
                f"'{self.members[0]}'"
            )
        return found

    def enter(self, found: Frame) -> str:
        """Note a member whose contribution has been added; its name."""
        self._agreement = found.agreement
        self.members.append(found.members[0])
        return found.members[0]

    def close(self, *payload: bytes | memoryview) -> bytes:
        """The frame of the sum; refuse one below the quorum."""
        return frame.write(self._out, self.members, self._agreement, *payload)

    def check_quorum(self) -> None:
        """Raise unless enough members are in."""
        if len(self.members) < self._quorum:
            raise ProtectionError(
                f"{len(self.members)} sites are in the sum, {self._quorum} are needed"
            )


class SealedSum:
    """Σ of contributions, one at a time, in the memory of their sum whatever their number."""

    def __init__(
        self,
        context: ServerContext,
        plan: Plan,
        message_context: MessageContext,
        min_sites: int = 3,
    ) -> None:
        self._membership = Membership(context, plan, message_context, min_sites)
        self._adder = Adder(scheme(plan.scheme).lattice)

    @property
    def members(self) -> tuple[str, ...]:
        """Who is in the sum so far."""
        return tuple(self._membership.members)

    def add(self, blob: bytes, sender: str | None = None) -> str:
        """Add one contribution and return the name that it bears.

        Raises :class:`ProtectionError`, and adds nothing, if it does not fit, or if it bears
        another name than ``sender``, where the caller knows who that is.
        """
        found = self._membership.check(blob, sender)
        self._adder.add(found.payload)
        return self._membership.enter(found)

    def result(self) -> bytes:
        """The sum as bytes for every site; also what a server checkpoints."""
        self._membership.check_quorum()
        return self._membership.close(self._adder.result())
