"""What every site and the server derive from the recipes alike, before anything is protected.

The plans of the four things that are summed (models, weights, losses, counts of a test), and what
each message is for. With ``protection: none`` the same plans hold; nothing else knows the scheme.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.errors import FederationError
from ucadi_flwr.evaluation.counts import length_of
from ucadi_flwr.protection.encoding.layout import Layout
from ucadi_flwr.protection.frame import Kind, MessageContext
from ucadi_flwr.protection.keys import ServerContext
from ucadi_flwr.protection.plan import MAX_SITES, IntegerPlan, MessagePlan, ModelPlan, expected
from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.recipes.strategy import StrategyRecipe

Purpose = Literal["model", "weights", "losses", "counts"]

LOSS_UNITS = 2**10
"""A loss travels as a whole number of 1/1024 a case."""


@dataclass(frozen=True)
class Agreement:
    """One run's common ground. ``shapes``: tensor name → shape of the model that travels."""

    recipe: StrategyRecipe
    run: str
    shapes: Mapping[str, tuple[int, ...]] = field(repr=False)
    classes: int

    @cached_property
    def model(self) -> ModelPlan:
        """The plan of a weighted mean of models."""
        scheme, values = self.recipe.protection.scheme, self.recipe.protection.values_per_slot
        return ModelPlan(scheme, Layout(self.shapes), values, self._max_sites)

    def integers(self, purpose: Purpose) -> IntegerPlan:
        """The plan of a sum of integers.

        ``weights``: one a site; ``losses``: cases, and loss × cases in :data:`LOSS_UNITS`;
        ``counts``: those of a test.
        """
        length = {"weights": 1, "losses": 2, "counts": length_of(self.classes)}[purpose]
        return IntegerPlan(self.recipe.protection.scheme, length, self._max_sites)

    def plan(self, purpose: Purpose) -> MessagePlan:
        """The plan of whatever is summed."""
        return self.model if purpose == "model" else self.integers(purpose)

    def message_context(
        self, purpose: Purpose, name: str, trained_at: str = ALL_SITES
    ) -> MessageContext:
        """What a message is for; ``name`` is ``round.attempt``, as messages call it."""
        server_round, attempt = parse_attempt_name(name)
        return MessageContext(f"{self.run}/{trained_at}", server_round, purpose, attempt)

    def frame_size(self, purpose: Purpose, context: ServerContext, members: int = 0) -> int:
        """Bytes of a sum of so many members, or of one contribution."""
        kind = Kind.SUM if members else Kind.CONTRIBUTION
        message_context = self.message_context(purpose, attempt_name(0, 0))
        return expected(self.plan(purpose), context, message_context, kind).size(members or 1)

    @property
    def exchanges_weights(self) -> bool:
        """Whether W comes from an encrypted exchange before the round."""
        hidden = self.recipe.protection.weights == "encrypted"
        return hidden and self.recipe.weights == "size-epochs"

    @property
    def _max_sites(self) -> int:
        protection = self.recipe.protection
        return MAX_SITES if protection.scheme == "none" else protection.max_sites


def loss_vector(loss: float, examples: int, plan: IntegerPlan) -> NDArray[np.int64]:
    """A site's training loss as integers ``(2,)``; one that is off every scale stays at its end."""
    units = min(round(loss * LOSS_UNITS * examples), plan.codec.bound)
    return np.array([examples, units], np.int64)


def mean_loss(vector: NDArray[np.int64]) -> float:
    """The mean loss over all cases of a sum of :func:`loss_vector`."""
    return float(vector[1]) / LOSS_UNITS / float(vector[0])


def attempt_name(server_round: int, attempt: int) -> str:
    """(7, 0) → ``7.0``: round 7, first attempt."""
    return f"{server_round}.{attempt}"


def parse_attempt_name(name: str) -> tuple[int, int]:
    """The inverse of :func:`attempt_name`; raise :class:`FederationError` if it is no name."""
    server_round, _, attempt = name.partition(".")
    if not (server_round.isascii() and server_round.isdigit() and len(server_round) < 10):
        raise FederationError(f"'{name[:32]}' does not name a round and an attempt")
    if not (attempt.isascii() and attempt.isdigit() and len(attempt) < 6):
        raise FederationError(f"'{name[:32]}' does not name a round and an attempt")
    return int(server_round), int(attempt)
