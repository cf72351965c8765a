"""Whole federations whose server adds up models that it cannot read."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Message, RecordDict
from flwr.common import NDArrays, Scalar
from flwr.serverapp import Grid
from helpers.federation import SIZES, Config, LocalRun, events, model, opened, play, run, same
from helpers.loopback_grid import LoopbackGrid
from numpy.typing import NDArray
from safetensors.numpy import load_file

from ucadi_flwr.aggregation.optimizers import Moments, step
from ucadi_flwr.client_app import app
from ucadi_flwr.errors import FederationError
from ucadi_flwr.exchange.agreement import Agreement
from ucadi_flwr.models.factory import make_model
from ucadi_flwr.models.state import read_state, trainable_names
from ucadi_flwr.protection.encoding import ranges
from ucadi_flwr.protection.frame import MessageContext
from ucadi_flwr.protection.keys import SiteKey
from ucadi_flwr.protection.protect import make_site
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe
from ucadi_flwr.server.cohort import Cohort
from ucadi_flwr.site.client import SiteClient
from ucadi_flwr.site.memory import SiteMemory

pytestmark = pytest.mark.usefixtures("no_pauses")

ADAM = "server-optimizer: {name: fedadam, learning-rate: 0.01}"


def remembered(config: LocalRun, site: str) -> dict[str, np.ndarray]:
    """The model that a site keeps on its disk."""
    (folder,) = (config.cell / "sites" / site / "memory").iterdir()
    model = SiteMemory(folder.parent, folder.name).model()
    assert model is not None
    return dict(model.state)


def test_one_round_is_fedavg_within_the_stated_bound(config: Config) -> None:
    run(config(name="plain", rounds=1))
    sealed = config("ucadi", scheme="bfv", rounds=1)
    result, _ = run(sealed)
    plain, state = model(config(name="plain")), opened(sealed).state
    unit = 2.0**-26  # all tensors of the tiny model are small
    assert all(plain[n].size <= 4096 for n in state)
    for name, values in state.items():
        bound = (3 + 1) * unit / 2 + 3 * 2.0**-39 * 2.0**19 + 2.0**-24 * np.abs(plain[name])
        assert (np.abs(values - plain[name]) <= bound + 1e-12).all()
    assert result["models"] == []
    assert not list(sealed.server.glob("model*"))


def test_the_order_of_answers_does_not_change_a_bit(config: Config) -> None:
    there, back = (config("ucadi", scheme="bfv", name=name) for name in ("there", "back"))
    run(there)
    run(back, order=lambda replies: replies[::-1])
    assert same(opened(there).state, opened(back).state)


def test_what_is_opened_is_the_sites_own_sum(config: Config) -> None:
    """Losses and counts against what the sites computed."""
    made = config("ucadi", scheme="bfv")
    losses: list[tuple[float, int]] = []
    counts: list[NDArray[np.int64]] = []
    fit, evaluate = SiteClient.fit, SiteClient.evaluate

    def spy_fit(
        client: SiteClient, parameters: NDArrays, config: dict[str, Scalar]
    ) -> tuple[NDArrays, int, dict[str, Scalar]]:
        arrays, examples, metrics = fit(client, parameters, config)
        losses.append((float(metrics["loss"]), examples))
        return arrays, examples, metrics

    def spy_evaluate(
        client: SiteClient, parameters: NDArrays, config: dict[str, Scalar]
    ) -> tuple[float, int, dict[str, Scalar]]:
        loss, examples, metrics = evaluate(client, parameters, config)
        assert isinstance(metrics["counts"], bytes)
        counts.append(np.frombuffer(metrics["counts"], np.int64))
        return loss, examples, metrics

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SiteClient, "fit", spy_fit)
        patch.setattr(SiteClient, "evaluate", spy_evaluate)
        result, _ = run(made)
    result_of_key = opened(made)
    for number in (1, 2):
        part = losses[3 * (number - 1) : 3 * number]
        mean = sum(loss * n for loss, n in part) / sum(n for _, n in part)
        assert result_of_key.losses[number] == pytest.approx(mean, abs=3 / 2**11)
    assert result_of_key.counts is not None
    assert (result_of_key.counts.to_vector() == np.sum(counts, axis=0)).all()
    for record in result["rounds"]:
        assert record["loss"] is None
        assert all(s["examples"] is None and s["loss"] is None for s in record["sites"].values())


def test_weights_alone_may_be_public(config: Config) -> None:
    recipe = "protection: bfv\nmin-sites: 2"
    result, network = run(config("open", scheme="bfv", recipe=recipe))
    assert result["rounds"][0]["sites"]["a"]["examples"] == 12
    assert result["rounds"][0]["loss"] > 0
    assert "query.weigh" not in {m.metadata.message_type for m in network.pushed}


def test_ckks_is_fedavg_nearly(config: Config) -> None:
    run(config(name="plain", rounds=1))
    made = config("fedavg-ckks", scheme="ckks", rounds=1)
    run(made)
    plain, state = model(config(name="plain")), opened(made).state
    assert max(np.abs(state[n] - plain[n]).max() for n in state) < 1e-6


def test_a_site_that_drops_out_re_normalises_the_mean(config: Config) -> None:
    """Without site c, whose weight is in W, the mean is FedAvg of a and b."""

    def without_c(node: int, message: Message) -> Message | None:
        late = node == 102 and message.metadata.message_type == "train"
        return None if late else message

    text = "round-timeout: 3.0\nmin-sites: 2"
    run(config("duo", recipe=text, name="plain", rounds=1), fault=without_c)
    sealed = "protection: {scheme: bfv, weights: encrypted, metrics: encrypted}\n" + text
    made = config("sealed-duo", recipe=sealed, scheme="bfv", rounds=1)
    result, _ = run(made, fault=without_c)
    assert sorted(result["rounds"][0]["sites"]) == ["a", "b"]
    plain, state = model(config(name="plain")), opened(made).state
    assert max(np.abs(state[n] - plain[n]).max() for n in state) < 1e-6


def test_fedadam_under_encryption_is_its_plaintext_twin(config: Config) -> None:
    """Server Adam in NumPy over the opened means: the same bits, at every site."""
    made = config("adam", recipe=f"{ADAM}\nprotection: bfv", scheme="bfv", rounds=4)
    _, network = run(made)
    task, recipe = loader.load(TaskRecipe, made.task), loader.load(StrategyRecipe, made.strategy)
    key, initial = SiteKey.load(Path(made.key)), read_state(make_model(task, 0))
    stored = load_file(made.server / "sealed.safetensors")
    asked = next(m for m in network.pushed if m.metadata.message_type == "train")
    run_id = str(asked.content.config_records["config"]["run"])
    shapes = {name: values.shape for name, values in initial.items()}
    agreement = Agreement(recipe, run_id, shapes, 2)
    state, moments = initial, Moments()
    trainable = trainable_names(make_model(task, 0))
    for number in range(1, 5):
        blob = stored[f"sum/{number}.0"].tobytes()
        message_context = MessageContext(f"{run_id}/all", number)
        mean = make_site(key, "x", 3).open(agreement.model, message_context, blob).state
        state, moments = step(recipe.server_optimizer, state, mean, moments, trainable)
    assert same(opened(made).state, state)
    for site in SIZES:  # after the test every site has round 4
        assert same(remembered(made, site), state)
    run(config("adam-plain", recipe=ADAM, name="plain", rounds=1))
    once = config("adam", recipe=f"{ADAM}\nprotection: bfv", scheme="bfv", rounds=1, name="once")
    run(once)
    twin = model(config(name="plain"))
    assert max(np.abs(v - twin[n]).max() for n, v in opened(once).state.items()) < 1e-4


def test_a_late_site_and_one_that_forgot_catch_up_with_fedadam(config: Config) -> None:
    recipe = f"{ADAM}\nprotection: bfv\nmin-sites: 2"
    made = config("adam", recipe=recipe, scheme="bfv", rounds=5, nodes=2)
    network = LoopbackGrid(app, made.values, nodes=3)
    network.online = {100, 101}
    register_new_nodes = Cohort.register_new_nodes
    calls: list[int] = []

    def scene(self: Cohort, grid: Grid) -> bool:
        calls.append(1)
        if len(calls) == 4:  # before round 3
            network.online.add(102)
        if len(calls) == 5:  # before round 4
            shutil.rmtree(made.cell / "sites" / "a")
        return register_new_nodes(self, grid)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Cohort, "register_new_nodes", scene)
        play(network, made)
    result = json.loads((made.server / "run.json").read_text())
    took_part = [sorted(r["sites"]) for r in result["rounds"]]
    assert took_part == [["a", "b"], ["a", "b"], ["a", "b", "c"], ["b", "c"], ["a", "b", "c"]]
    assert "there is no model to continue from" in result["rounds"][3]["failures"][0]["reason"]
    states = [remembered(made, site) for site in SIZES]
    assert same(states[0], states[1])
    assert same(states[0], states[2])


def test_values_beyond_their_range_repeat_the_round(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = config("ucadi", scheme="bfv", name="usual", rounds=1)
    run(usual)
    monkeypatch.setattr(ranges, "WIDE_RANGE", 0.5)
    narrow = config("ucadi", scheme="bfv", name="narrow", rounds=1)
    result, network = run(narrow)
    (record,) = result["rounds"]
    assert record["attempts"] == 2
    assert sorted(record["sites"]) == ["a", "b", "c"]
    (asked,) = [e["text"] for e in events(narrow, "log") if "· a: " in e["text"]]
    assert "needs 2 × its usual range" in asked or "needs 4 × its usual range" in asked
    second = [m for m in network.pushed if m.metadata.message_type == "train"][3:]
    assert {m.content.config_records["config"]["attempt-name"] for m in second} == {"1.1"}
    a, b = opened(usual).state, opened(narrow).state
    assert max(np.abs(a[n] - b[n]).max() for n in a) < 1e-6


def test_a_repeated_round_goes_on_from_what_the_sites_have_opened(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a server optimiser a site refuses a sum that it has stepped with already."""
    recipe = f"{ADAM}\nprotection: bfv"
    usual = config("adam", recipe=recipe, scheme="bfv", rounds=3, name="usual")
    run(usual)
    monkeypatch.setattr(ranges, "WIDE_RANGE", 0.5)
    narrow = config("adam", recipe=recipe, scheme="bfv", rounds=3, name="narrow")
    result, _ = run(narrow)
    assert [record["failures"] for record in result["rounds"]] == [[], [], []]
    assert max(record["attempts"] for record in result["rounds"][1:]) > 1
    a, b = opened(usual).state, opened(narrow).state
    assert max(np.abs(a[n] - b[n]).max() for n in a) < 1e-3  # Adam's step is steep near 0


def test_a_model_that_fits_no_range_ends_the_run(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = config("ucadi", scheme="bfv", rounds=2)

    def insatiable(_node: int, reply: Message) -> Message:
        if "sealed" in reply.content.array_records and "metrics" in reply.content.metric_records:
            from flwr.app import ConfigRecord

            wish = ConfigRecord({"multipliers": '{"head.weight": 2}', "why": "needs 2"})
            reply.content = RecordDict({"ranges": wish})
        return reply

    with pytest.raises(FederationError, match=r"no range after 8 attempts.*'head\.weight'"):
        run(made, alter=insatiable)
