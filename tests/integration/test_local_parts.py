"""Tensors that stay at their site: FedBN, personal heads, and a site that forgot."""

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.common import NDArrays, Scalar
from flwr.common.serde import message_to_proto
from helpers.federation import Config, LocalRun, events, model, play, run
from helpers.loopback_grid import LoopbackGrid
from safetensors import safe_open
from safetensors.numpy import load_file

from ucadi_flwr.client_app import app
from ucadi_flwr.errors import RecipeError
from ucadi_flwr.exchange.sealed_run import open_sealed
from ucadi_flwr.models.factory import make_model
from ucadi_flwr.models.parts import local_tensor_names
from ucadi_flwr.models.state import read_state
from ucadi_flwr.protection.keys import SiteKey
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe
from ucadi_flwr.site.client import SiteClient

pytestmark = pytest.mark.usefixtures("no_pauses")

HEAD = "local: head"
ALL_SEALED = "{scheme: bfv, weights: encrypted, metrics: encrypted}"


def initial(config: LocalRun) -> dict[str, np.ndarray]:
    return read_state(make_model(loader.load(TaskRecipe, config.task), config.seed))


def norms(config: LocalRun) -> frozenset[str]:
    return local_tensor_names(make_model(loader.load(TaskRecipe, config.task), 0), "normalisation")


def kept(config: LocalRun, site: str, back: int = 0) -> dict[str, np.ndarray]:
    """A site's own tensors after the last round, or ``back`` rounds earlier."""
    files = (config.own_models / site / "memory").glob("*/own-*.safetensors")
    return load_file(sorted(files)[-1 - back])


def traffic(network: LoopbackGrid) -> bytes:
    messages: Iterable[Message] = [*network.pushed, *network.replies]
    return b"\n".join(message_to_proto(m).SerializeToString() for m in messages)


def test_local_tensors_are_in_no_message(config: Config) -> None:
    made = config("fedbn")
    result, network = run(made)
    local, sent = norms(made), traffic(network)
    assert b"head.weight" in sent  # the initial model goes by name, so that a search finds names
    for name in local:
        assert name.encode() not in sent
    own = {site: kept(made, site) for site in "abc"}
    assert all(tensors.keys() == local for tensors in own.values())
    for tensors in own.values():
        for name, values in tensors.items():
            assert not np.array_equal(values, initial(made)[name])
            assert values.size < 2 or values.tobytes() not in sent
    assert any(not np.array_equal(own["a"][n], own["b"][n]) for n in local)
    shared = sum(v.size for n, v in initial(made).items() if n not in local)
    assert result["rounds"][0]["bytes_up"] / 3 < 4 * shared + 500


def test_the_server_s_file_says_which_tensors_are_the_initial_ones(config: Config) -> None:
    made = config("fedbn")
    run(made)
    state, local = model(made), norms(made)
    for name, values in initial(made).items():
        assert np.array_equal(state[name], values) == (name in local)
    with safe_open(made.server / "model.safetensors", framework="numpy") as file:
        assert json.loads(file.metadata()["local"]) == sorted(local)
    plain = config(name="plain", rounds=1)
    run(plain)
    with safe_open(plain.server / "model.safetensors", framework="numpy") as file:
        assert "local" not in file.metadata()


def test_a_site_s_whole_model_stays_with_it(config: Config) -> None:
    made = config("fedbn")
    run(made)
    shared, local = model(made), norms(made)
    for site in "abc":
        own = load_file(made.own_models / f"{site}.safetensors")
        assert own.keys() == shared.keys()
        for name in initial(made):
            expected = kept(made, site)[name] if name in local else shared[name]
            assert own[name].tobytes() == expected.tobytes()


def test_a_site_that_forgot_begins_its_own_tensors_anew(config: Config) -> None:
    made = config("fedbn", rounds=3)

    def forget(node: int, message: Message) -> Message:
        train = message.metadata.message_type == "train"
        if node == 101 and train and message.metadata.group_id == "3":
            shutil.rmtree(made.own_models / "b")
        return message

    starts: dict[str, list[bool]] = {}
    fit = SiteClient.fit

    def spy(
        client: SiteClient, parameters: NDArrays, config: dict[str, Scalar]
    ) -> tuple[NDArrays, int, dict[str, Scalar]]:
        starts.setdefault(client.site.name, []).append(bool(client.local_state))
        return fit(client, parameters, config)

    network = LoopbackGrid(app, made.values, nodes=3, fault=forget)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SiteClient, "fit", spy)
        play(network, made)
    assert starts["a"] == [False, True, True]
    assert starts["b"] == [False, True, False]
    assert not events(made, "failure")
    assert kept(made, "b").keys() == norms(made)


@pytest.mark.parametrize("text", ["local: normalisation", HEAD], ids=["fedbn", "head"])
def test_under_bfv_it_is_the_plaintext_twin_within_the_bound(config: Config, text: str) -> None:
    run(config("mine", recipe=f"{text}\nmin-sites: 3", name="plain", rounds=1))
    sealed = config(
        "mine-sealed", recipe=f"{text}\nprotection: {ALL_SEALED}", scheme="bfv", rounds=1
    )
    _, network = run(sealed)
    plain = model(config(name="plain"))
    task = loader.load(TaskRecipe, sealed.task)
    recipe = loader.load(StrategyRecipe, sealed.strategy)
    opened = open_sealed(
        sealed.server / "sealed.safetensors", task, recipe, SiteKey.load(Path(sealed.key))
    )
    unit = 2.0**-26
    for name, values in opened.state.items():
        bound = (3 + 1) * unit / 2 + 3 * 2.0**-39 * 2.0**19 + 2.0**-24 * np.abs(plain[name])
        assert (np.abs(values - plain[name]) <= bound + 1e-12).all()
        assert name not in opened.local or np.array_equal(values, initial(sealed)[name])
    assert opened.local == local_tensor_names(make_model(task, 0), recipe.local)
    assert all(name.encode() not in traffic(network) for name in opened.local)


def test_fedadam_steps_the_shared_tensors_only(config: Config) -> None:
    adam = "server-optimizer: {name: fedadam}\nlocal: normalisation"
    made = config("adam-bn", recipe=adam)
    run(made)
    assert all(np.isfinite(values).all() for values in model(made).values())


def test_a_round_that_is_repeated_begins_as_it_did(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ranges that are too narrow at first: the same model as with ranges that are wide enough."""
    text = f"local: normalisation\nprotection: {ALL_SEALED}"
    wide = config("bn", recipe=text, scheme="bfv", name="wide")
    result, _ = run(wide)
    assert [r["attempts"] for r in result["rounds"]] == [1, 1]
    asked: list[int] = []

    def once(node: int, message: Message) -> Message:
        """Site b wants a wider range in the first attempt at round 2, after a and c trained."""
        train = message.metadata.message_type == "train"
        name = str(message.content.config_records["config"].get("attempt-name"))
        if node == 101 and train and name == "2.0":
            asked.append(node)
            wish = ConfigRecord({"multipliers": json.dumps({"head.bias": 1}), "why": "a test"})
            return Message(RecordDict({"ranges": wish}), reply_to=message)
        return message

    narrow = config("bn", recipe=text, scheme="bfv", name="narrow")
    result, _ = run(narrow, fault=once)
    assert asked == [101]
    assert [r["attempts"] for r in result["rounds"]] == [1, 2]
    for site in "abc":
        one, two = kept(wide, site), kept(narrow, site)
        assert all(one[n].tobytes() == two[n].tobytes() for n in one)
        before, before_again = kept(wide, site, 1), kept(narrow, site, 1)
        assert all(before[n].tobytes() == before_again[n].tobytes() for n in before)


def test_hold_outs_are_tested_with_the_initial_tensors(config: Config) -> None:
    made = config("fedbn", holdout="c")
    result, _ = run(made)
    assert set(result["models"][0]["test"]) == {"a", "b", "c"}
    assert not list((made.own_models / "c").rglob("own-*"))
    assert not (made.own_models / "c.safetensors").exists()


def test_layers_that_are_not_there_end_the_run_before_it_begins(config: Config) -> None:
    made = config("odd", recipe="local: [nowhere]")
    with pytest.raises(RecipeError, match="this network has no layer or tensor named 'nowhere'"):
        run(made)
    assert not (made.server / "journal.jsonl").exists()


def test_some_layers_by_name(config: Config) -> None:
    made = config("some", recipe="local: [head]", rounds=1)
    run(made)
    assert kept(made, "a").keys() == {"head.weight", "head.bias"}
