"""What site and server derive alike, and the names and numbers that cross between them."""

import pytest

from ucadi_flwr.errors import FederationError, ProtectionError
from ucadi_flwr.exchange.agreement import (
    Agreement,
    attempt_name,
    loss_vector,
    mean_loss,
    parse_attempt_name,
)
from ucadi_flwr.exchange.terms import read_multipliers
from ucadi_flwr.limits import MULTIPLIERS_CHARACTERS
from ucadi_flwr.protection.keys import NO_KEY
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.strategy import StrategyRecipe

SHAPES = {"a": (3,), "b": (100, 60)}


def agreement(strategy: str = "fedavg", **settings: object) -> Agreement:
    return Agreement(loader.load(StrategyRecipe, strategy, settings), "run", SHAPES, 2)


def test_plans_follow_the_recipe() -> None:
    sealed = agreement("ucadi", **{"protection.values-per-slot": 4, "protection.max-sites": 9})
    assert (sealed.model.scheme, sealed.model.values_per_slot, sealed.model.max_sites) == (
        *("bfv", 4),
        9,
    )
    assert agreement().model.max_sites == 1024
    assert [sealed.integers(p).length for p in ("weights", "losses", "counts")] == [1, 2, 4 * 4097]
    assert sealed.plan("model") is sealed.model


def test_weights_are_exchanged_where_they_are_hidden_and_differ() -> None:
    assert agreement("ucadi").exchanges_weights
    assert not agreement("ucadi", weights="equal").exchanges_weights
    assert not agreement("fedavg").exchanges_weights


def test_message_contexts_differ_by_run_model_round_attempt_and_purpose() -> None:
    one = agreement()
    contexts = {
        one.message_context("model", "1.0"),
        one.message_context("model", "1.1"),
        one.message_context("model", "2.0"),
        one.message_context("losses", "1.0"),
        one.message_context("model", "1.0", "site-a"),
        Agreement(one.recipe, "other", SHAPES, 2).message_context("model", "1.0"),
    }
    assert len(contexts) == 6


def test_frame_sizes_are_those_of_real_frames() -> None:
    """A plain contribution: 72-byte binding, 27 more, a name, weight and total, the values."""
    plain = agreement()
    head = 4 + 1 + 4 + 3 * 16 + 4 + 2 + 16 + 1 + 16 + 2 + 8
    assert plain.frame_size("model", NO_KEY) == head + 64 + 16 + 4 * 6003
    assert plain.frame_size("model", NO_KEY, 5) == head + 5 * 64 + 16 + 4 * 6003


@pytest.mark.parametrize("name", ["", "1", "1.", ".1", "1.x", "-1.0", "1.0.0", "9999999999.0", "²"])
def test_names_that_are_none_are_refused(name: str) -> None:
    with pytest.raises(FederationError, match="does not name a round and an attempt"):
        parse_attempt_name(name)


def test_names_go_there_and_back() -> None:
    assert parse_attempt_name(attempt_name(12, 3)) == (12, 3)
    assert sorted(["10.0", "9.1", "9.0"], key=parse_attempt_name) == ["9.0", "9.1", "10.0"]


def test_losses_add_up_to_their_mean() -> None:
    plan = agreement("ucadi").integers("losses")
    total = loss_vector(0.5, 30, plan) + loss_vector(2.0, 10, plan)
    assert mean_loss(total) == 0.875
    endless = loss_vector(1e12, 1000, plan)
    assert plan.codec.encode(endless) is endless
    assert endless[1] == plan.codec.bound


def test_multipliers_are_a_json_object_of_integers() -> None:
    assert read_multipliers('{"a": 2}') == {"a": 2}
    for bad in ("", "[1]", '{"a": "2"}', '{"a": true}', '{"a": 2.5}', "{", "[" * 100_000):
        with pytest.raises(FederationError, match="no JSON object of integers"):
            read_multipliers(bad)
    with pytest.raises(FederationError, match="are too many"):
        read_multipliers(" " * (MULTIPLIERS_CHARACTERS + 1))


def test_a_plan_of_another_scheme_and_key_is_refused() -> None:
    with pytest.raises(ProtectionError, match="the key is for none, the plan for bfv"):
        agreement("ucadi").frame_size("model", NO_KEY)
