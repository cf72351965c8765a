"""The two ends, chosen by key: ``none``, ``bfv`` or ``ckks``, behind one interface.

A round, end to end:

>>> from ucadi_flwr.aggregation.mean import WeightedMean
>>> from ucadi_flwr.protection.encoding.layout import Layout
>>> key, context = SiteKey.create("bfv"), MessageContext("run-a", 1)
>>> plan = ModelPlan("bfv", Layout({"bias": (1,)}))
>>> total = make_sum(key.context, plan, context, 3, WeightedMean)
>>> for site, value in (("north", 1.0), ("south", 2.0), ("west", 6.0)):
...     model = {"bias": np.array([value], np.float32)}
...     blob = make_site(key, site, 3).seal(plan, context, model, model, weight=1, total_weight=3)
...     assert total.add(blob) == site
>>> opened = make_site(key, "north", 3).open(plan, context, total.result())
>>> opened.members, opened.state["bias"].round(6).tolist()
(('north', 'south', 'west'), [3.0])
"""

from collections.abc import Callable, Mapping
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.protection.encoding.layout import State
from ucadi_flwr.protection.frame import MessageContext
from ucadi_flwr.protection.keys import ServerContext, SiteKey
from ucadi_flwr.protection.plain import PlainSite, PlainSum, StreamingMean
from ucadi_flwr.protection.plan import IntegerPlan, MessagePlan, ModelPlan
from ucadi_flwr.protection.server import SealedSum
from ucadi_flwr.protection.site import OpenedIntegers, OpenedModel, SealedSite


class SiteEnd(Protocol):
    """A site's end, whatever the protection.

    :class:`ucadi_flwr.protection.site.SealedSite` documents arguments and errors.
    """

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

    def open(self, plan: ModelPlan, message_context: MessageContext, blob: bytes) -> OpenedModel:
        """The mean over the members of a sum."""

    def open_integers(
        self, plan: IntegerPlan, message_context: MessageContext, blob: bytes
    ) -> OpenedIntegers:
        """The sum over the members."""


class ContributionSum(Protocol):
    """The server's end, whatever the protection: the sum of contributions to one round.

    :class:`ucadi_flwr.protection.server.SealedSum` documents arguments and errors.
    """

    @property
    def members(self) -> tuple[str, ...]:
        """Who is in the sum so far."""

    def add(self, blob: bytes, sender: str | None = None) -> str:
        """Add one contribution, which must bear the sender's name where that is known."""

    def result(self) -> bytes:
        """The sum as bytes for every site."""


def make_site(key: SiteKey | None, member: str, min_sites: int) -> SiteEnd:
    """A site's end.

    Args:
        key: the sites' secret key; None for ``protection: none``.
        member: the site's name, 1 to 64 printable bytes.
        min_sites: fewest members of a sum that this site opens.

    Raises :class:`ucadi_flwr.errors.ProtectionError` on a name that a frame cannot hold.
    """
    if key is None:
        return PlainSite(member, min_sites)
    return SealedSite(key, member, min_sites)


def make_sum(
    context: ServerContext,
    plan: MessagePlan,
    message_context: MessageContext,
    min_sites: int,
    mean: Callable[[], StreamingMean],
) -> ContributionSum:
    """The server's end for one sum.

    Args:
        context: the scheme and the key id; never a secret key.
        plan: what both ends agreed on.
        message_context: run, round, purpose and attempt of the sum.
        min_sites: fewest members of a sum that may leave the server.
        mean: makes the accumulator that computes the mean of ``none``.

    Raises :class:`ucadi_flwr.errors.ProtectionError` where plan and key are for different schemes.
    """
    if context.scheme != "none":
        return SealedSum(context, plan, message_context, min_sites)
    return PlainSum(plan, message_context, mean(), min_sites)
