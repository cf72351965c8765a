"""The global model as whoever can open the sums rebuilds it: a fold over the rounds' means.

Sums of ciphertexts are all that a server has, so the server optimiser's step is taken by those who
open them. They all open the same sum and step alike, to the bit (:mod:`aggregation.optimizers`).
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from ucadi_flwr.aggregation.optimizers import Arrays, Moments, step
from ucadi_flwr.errors import FederationError
from ucadi_flwr.exchange.agreement import Agreement, parse_attempt_name
from ucadi_flwr.protection.protect import SiteEnd
from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.recipes.strategy import Average, StrategyRecipe


@dataclass(frozen=True)
class GlobalModel:
    """The model after ``round`` rounds, and what the server optimiser remembers."""

    round: int
    state: Arrays = field(repr=False)
    moments: Moments = field(default_factory=Moments, repr=False)


def has_memory(recipe: StrategyRecipe) -> bool:
    """Whether a round's model depends on more than that round's mean."""
    return not isinstance(recipe.server_optimizer, Average)


def replay_rounds(
    known: GlobalModel | None,
    sums: Mapping[str, bytes],
    agreement: Agreement,
    end: SiteEnd,
    trainable: Collection[str],
    trained_at: str = ALL_SITES,
) -> GlobalModel:
    """Open the sums in the order of their rounds, and step with each.

    Args:
        known: where to start; None if the only sum is the whole model.
        sums: ``round.attempt`` → sum.
        agreement: the run's plans.
        end: who opens: a site, or a key holder afterwards.
        trainable: the tensors that a server optimiser steps.
        trained_at: whose model it is.

    Raises :class:`FederationError` where a round between is missing.
    """
    recipe, model = agreement.recipe, known
    for name in sorted(sums, key=parse_attempt_name):
        number = parse_attempt_name(name)[0]
        if has_memory(recipe) and (model is None or number != model.round + 1):
            at = "no model" if model is None else f"the model of round {model.round}"
            raise FederationError(
                f"the sum of round {number} arrived and there is {at} to continue from"
            )
        message_context = agreement.message_context("model", name, trained_at)
        mean = end.open(agreement.model, message_context, sums[name]).state
        state, moments = step(
            recipe.server_optimizer,
            model.state if model else {},
            mean,
            model.moments if model else Moments(),
            trainable,
        )
        model = GlobalModel(number, state, moments)
    if model is None:
        raise FederationError("the message has neither a model nor a sum")
    return model
