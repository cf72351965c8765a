"""The two ends by the name that a recipe gives: ``none``, ``bfv`` or ``ckks``."""

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.protection.encoding.layout import State
from ucadi_flwr.protection.frame import MessageContext
from ucadi_flwr.protection.keys import ServerContext, SiteKey
from ucadi_flwr.protection.plain import Mean, PlainSite, PlainSum
from ucadi_flwr.protection.plan import IntegerPlan, ModelPlan, Plan
from ucadi_flwr.protection.server import SealedSum
from ucadi_flwr.protection.site import Opened, OpenedIntegers, SealedSite


class Site(Protocol):
    """A site's end, whatever the protection (:class:`ucadi_flwr.protection.site.SealedSite`)."""

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
        """One contribution to a weighted mean."""

    def seal_integers(
        self, plan: IntegerPlan, message_context: MessageContext, vector: NDArray[np.int64]
    ) -> bytes:
        """One contribution to an exact sum of integers."""

    def open(self, plan: ModelPlan, message_context: MessageContext, blob: bytes) -> Opened:
        """The mean over those that answered."""

    def open_integers(
        self, plan: IntegerPlan, message_context: MessageContext, blob: bytes
    ) -> OpenedIntegers:
        """The sum over those that answered."""


class Sum(Protocol):
    """The server's end, whatever the protection."""

    @property
    def members(self) -> tuple[str, ...]:
        """Who is in the sum so far."""

    def add(self, blob: bytes, sender: str | None = None) -> str:
        """Add one contribution, which must bear the sender's name where that is known."""

    def result(self) -> bytes:
        """The sum as bytes for every site."""


def make_site(key: SiteKey | None, member: str, min_sites: int) -> Site:
    """A site's end; without a key it protects nothing."""
    if key is None:
        return PlainSite(member, min_sites)
    return SealedSite(key, member, min_sites)


def make_sum(
    context: ServerContext,
    plan: Plan,
    message_context: MessageContext,
    min_sites: int,
    mean: Callable[[], Mean],
) -> Sum:
    """The server's end; ``mean`` makes the accumulator that ``none`` adds up with."""
    if context.scheme != "none":
        return SealedSum(context, plan, message_context, min_sites)
    return PlainSum(plan, message_context, mean(), min_sites)
