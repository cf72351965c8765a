"""Flower's four hooks by themselves: each callable alone, and driven by Flower's own loop."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from flwr.app import ConfigRecord, Error, Message
from flwr.serverapp.strategy import Strategy
from helpers.federation import Config, LocalRun, model, recipes, run, same
from helpers.loopback_grid import LoopbackGrid

from ucadi_flwr.client_app import app
from ucadi_flwr.errors import QuorumError
from ucadi_flwr.exchange.agreement import Agreement
from ucadi_flwr.exchange.global_model import GlobalModel, replay_rounds
from ucadi_flwr.exchange.terms import RunTerms, TestTerms, TrainTerms
from ucadi_flwr.exchange.wire import array_record, blob
from ucadi_flwr.models.factory import make_model
from ucadi_flwr.models.state import read_state
from ucadi_flwr.models.travelling import travelling_tensors
from ucadi_flwr.protection.keys import NO_KEY, ServerContext, SiteKey
from ucadi_flwr.protection.protect import make_site
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.results.journal import Journal
from ucadi_flwr.server.strategy import UcadiStrategy

ROUNDS = 2
RUN = "0123456789abcdef" * 2


def strategy_of(made: LocalRun, rounds: int = ROUNDS) -> UcadiStrategy:
    task, recipe = recipes(made)
    tensors = travelling_tensors(task, recipe.local)
    context = ServerContext.load(Path(made.context)) if made.context else NO_KEY
    terms = RunTerms(
        task_digest=loader.digest(task),
        strategy_digest=loader.digest(recipe),
        run=RUN,
        rounds=rounds,
        seed=0,
        tested="test",
    )
    agreement = Agreement(recipe, RUN, tensors.shapes, len(task.classes))
    made.server.mkdir(parents=True, exist_ok=True)
    return UcadiStrategy(agreement, context, terms, Journal(made.folder.server.journal))


def opened(strategy: UcadiStrategy, made: LocalRun) -> Mapping[str, np.ndarray]:
    """The model that the state's sums make, as a site opens it."""
    task, recipe = recipes(made)
    tensors, initial = travelling_tensors(task, recipe.local), read_state(make_model(task, 0))
    end = make_site(SiteKey.load(Path(made.key)) if made.key else None, "reader", recipe.min_sites)
    start = GlobalModel(0, initial) if strategy.state.keep_all else None
    sums = strategy.state.newest(ALL_SITES)
    return replay_rounds(start, sums, strategy.agreement, end, tensors.trainable).state


@pytest.mark.parametrize(("name", "scheme"), [("fedavg", ""), ("fedadam", ""), ("ucadi", "bfv")])
def test_flower_s_own_loop_ends_at_the_same_bits(config: Config, name: str, scheme: str) -> None:
    made, ours = config(name, scheme=scheme), config(name, name="ours")
    strategy = strategy_of(made)
    network = LoopbackGrid(app, made.values, nodes=3)
    initial = array_record(read_state(make_model(recipes(made)[0], 0)))
    result = Strategy.start(strategy, network, initial, num_rounds=ROUNDS)
    assert sorted(result.train_metrics_clientapp) == sorted(result.evaluate_metrics_clientapp)
    assert [record.round for record in strategy.state.rounds] == [1, 2]
    assert all(len(record.sites) == 3 for record in strategy.state.rounds)
    if scheme:
        assert {name.partition("/")[0] for name in strategy.state.others} == {"losses", "counts"}
        return
    run(ours)
    shared = opened(strategy, made)
    floats = {name: values for name, values in model(ours).items() if name in shared}
    assert same(floats, shared)


def test_one_round_by_hand(config: Config) -> None:
    made = config("fedavg", rounds=1)
    strategy = strategy_of(made, rounds=1)
    network = LoopbackGrid(app, made.values, nodes=3)
    initial = array_record(read_state(make_model(recipes(made)[0], 0)))
    messages = list(strategy.configure_train(1, initial, ConfigRecord(), network))
    assert [m.metadata.dst_node_id for m in messages] == [100, 101, 102]
    terms = TrainTerms.read(messages[0].content.config_records["config"])
    assert (terms.server_round, terms.attempt_name, terms.trained_at) == (1, "1.0", "all")
    assert terms.total_weight == 12 + 6 + 18
    assert set(messages[0].content.array_records) == {"initial"}
    replies = list(network.send_and_receive(messages))
    before = strategy.state
    arrays, metrics = strategy.aggregate_train(1, replies)
    assert before.rounds == ()
    assert metrics is not None
    assert metrics["sites"] == 3
    assert arrays is not None
    assert list(arrays) == ["1.0"]
    (message, *_) = strategy.configure_evaluate(1, initial, ConfigRecord(), network)
    tested = TestTerms.read(message.content.config_records["config"])
    assert tested.trained_at == "all"
    assert blob(message.content, "sums", "1.0") == strategy.state.newest("all")["1.0"]


def test_a_second_call_for_a_round_is_another_attempt_and_errors_are_failures(
    config: Config,
) -> None:
    made = config("three", recipe="min-sites: 3", rounds=1)
    strategy = strategy_of(made, rounds=1)

    def fail(node: int, message: Message) -> Message:
        if node == 101 and message.metadata.message_type == "train":
            return Message(Error(8, "the process ended"), reply_to=message)
        return message

    network = LoopbackGrid(app, made.values, nodes=3, fault=fail)
    initial = array_record(read_state(make_model(recipes(made)[0], 0)))
    replies = network.send_and_receive(
        strategy.configure_train(1, initial, ConfigRecord(), network)
    )
    with pytest.raises(QuorumError, match="2 sites answered and min-sites is 3; left out: b: "):
        strategy.aggregate_train(1, replies)
    failed = strategy.state
    assert failed.rounds == ()
    network.fault = lambda _node, message: message
    messages = list(strategy.configure_train(1, initial, ConfigRecord(), network))
    assert TrainTerms.read(messages[0].content.config_records["config"]).attempt_name == "1.1"
    _, metrics = strategy.aggregate_train(1, network.send_and_receive(messages))
    assert metrics is not None
    (record,) = strategy.state.rounds
    assert (record.attempts, sorted(record.sites)) == (2, ["a", "b", "c"])
    assert record.failures[0].site == "b"
