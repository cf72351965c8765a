"""The server's end: add up contributions without being able to open any."""

from ucadi_flwr.errors import ProtectionError
from ucadi_flwr.protection import frame
from ucadi_flwr.protection.frame import Frame, Kind, MessageContext
from ucadi_flwr.protection.keys import ServerContext
from ucadi_flwr.protection.plan import MessagePlan, expected
from ucadi_flwr.protection.scheme.ciphertexts import Adder
from ucadi_flwr.protection.scheme.schemes import scheme


class Membership:
    """Who is in a sum: each frame is checked, each member added once, all under the same terms.

    Args:
        context: scheme and key id.
        plan: what both ends agreed on.
        message_context: run, round, purpose and attempt of the sum.
        quorum: fewest members of a sum that may leave the server.
    """

    def __init__(
        self,
        context: ServerContext,
        plan: MessagePlan,
        message_context: MessageContext,
        quorum: int,
    ) -> None:
        self.members: list[str] = []
        self._plan, self._quorum = plan, quorum
        self._in = expected(plan, context, message_context, Kind.CONTRIBUTION)
        self._out = expected(plan, context, message_context, Kind.SUM)
        self._terms_digest = b""

    def check(self, blob: bytes, sender: str | None) -> Frame:
        """The frame of a contribution.

        Raises :class:`ProtectionError` where it cannot be added to this sum.
        """
        contribution = frame.read(blob, self._in)
        member = contribution.members[0]
        if sender not in (None, member):
            raise ProtectionError(f"'{sender}' sent a contribution that bears the name '{member}'")
        if member in self.members:
            raise ProtectionError(f"'{member}' is in the sum already")
        if len(self.members) == self._plan.max_sites:
            raise ProtectionError(f"the plan has room for {self._plan.max_sites} sites")
        if self.members and contribution.terms_digest != self._terms_digest:
            raise ProtectionError(
                f"'{member}' uses another global model or other ranges than '{self.members[0]}'"
            )
        return contribution

    def enter(self, contribution: Frame) -> str:
        """Record the member whose contribution has been added, and return its name."""
        self._terms_digest = contribution.terms_digest
        self.members.append(contribution.members[0])
        return contribution.members[0]

    def close(self, *payload: bytes | memoryview) -> bytes:
        """The frame of the sum."""
        return frame.write(self._out, self.members, self._terms_digest, *payload)

    def check_quorum(self) -> None:
        """Raise :class:`ProtectionError` where the sum has fewer members than the quorum."""
        if len(self.members) < self._quorum:
            raise ProtectionError(
                f"{len(self.members)} sites are in the sum, {self._quorum} are needed"
            )


class SealedSum:
    """The sum of sealed contributions; its memory does not grow with their number.

    **Threat model.** The server is honest but curious: it has no key, and so learns what the frames
    say and nothing of the values. A server that alters a sum is detected by the sites, not here.

    Args:
        context: scheme and key id.
        plan: what both ends agreed on.
        message_context: run, round, purpose and attempt of the sum.
        min_sites: the quorum.

    Raises :class:`ProtectionError` where plan and key are for different schemes.
    """

    def __init__(
        self,
        context: ServerContext,
        plan: MessagePlan,
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

        Args:
            blob: a site's bytes.
            sender: the site's name where the caller knows it; the contribution must bear it.

        Raises :class:`ProtectionError`, and adds nothing, where the contribution does not fit.
        """
        contribution = self._membership.check(blob, sender)
        self._adder.add(contribution.payload)
        return self._membership.enter(contribution)

    def result(self) -> bytes:
        """The sum as bytes for every site; the server's checkpoints store them too.

        Raises :class:`ProtectionError` below the quorum.
        """
        self._membership.check_quorum()
        return self._membership.close(self._adder.result())
