"""S2's transfer learning in a federation: each site's own model after the last round."""

from pathlib import Path

import numpy as np
import pytest
import torch
from flwr.app import Message, UserConfig
from flwr.common.serde import message_to_proto
from helpers.federation import SIZES, Config, LocalRun, events, model, play, run, same
from helpers.loopback_grid import LoopbackGrid
from safetensors import safe_open
from safetensors.numpy import load_file

from ucadi_flwr.client_app import app
from ucadi_flwr.data.dataset import training_set
from ucadi_flwr.data.sites import open_sites
from ucadi_flwr.errors import RecipeError
from ucadi_flwr.evaluation.counts import Counts
from ucadi_flwr.exchange.sealed_run import open_sealed
from ucadi_flwr.models.factory import make_model, set_schedule
from ucadi_flwr.models.state import read_state, write_state
from ucadi_flwr.protection.keys import SiteKey
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe
from ucadi_flwr.results.predictions import read_predictions
from ucadi_flwr.site.client import derived_seed
from ucadi_flwr.training.local import LocalUpdate, train

pytestmark = pytest.mark.usefixtures("no_pauses")

HEAD = {"head.weight", "head.bias"}
FROZEN = "tailoring: {epochs: 2, fine-tune: head, alignment: {mu: 1.0, decay: linear}}"
PLAIN = "tailoring: {epochs: 2, fine-tune: all}"
ALIGNED = "tailoring: {epochs: 2, fine-tune: all, alignment: {mu: 50.0, decay: exponential}}"


def own(config: LocalRun, site: str) -> dict[str, np.ndarray]:
    return load_file(config.own_models / f"{site}.safetensors")


def floats(state: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: values for name, values in state.items() if values.dtype == np.float32}


def test_the_rounds_are_fedavg_s_and_what_is_frozen_stays_to_the_bit(config: Config) -> None:
    run(config(name="plain"))
    made = config("frozen", recipe=FROZEN, name="frozen")
    result, network = run(made)
    shared = model(made)
    assert same(shared, model(config(name="plain")))
    sent = b"".join(
        message_to_proto(m).SerializeToString() for m in (*network.pushed, *network.replies)
    )
    for site in SIZES:
        mine = own(made, site)
        changed = {name for name in shared if shared[name].tobytes() != mine[name].tobytes()}
        assert changed == HEAD
        assert mine["head.weight"].tobytes() not in sent
    assert not same(own(made, "a"), own(made, "b"))
    assert {site: t["n"] for site, t in result["models"][0]["test"].items()} == {
        "a": 4,
        "b": 2,
        "c": 6,
    }
    with safe_open(made.own_models / "a.safetensors", framework="numpy") as file:
        metadata = file.metadata()
    assert (metadata["own-of"], metadata["trained-at"]) == ("a", "all")


def test_without_mu_it_is_plain_training_from_the_global_model(config: Config) -> None:
    made = config("soft", recipe=PLAIN)
    zero = config("zero", recipe=PLAIN.replace("all}", "all, alignment: {mu: 0}}"), name="zero")
    run(made)
    run(zero)
    task = loader.load(TaskRecipe, made.task)
    site = open_sites(Path(made.data), task)["b"]
    network = make_model(task, 0)
    write_state(network, floats(model(made)))
    seed = derived_seed(0, "b", 3)
    dataset = training_set(site, task, Path(made.out) / "cache", seed)
    set_schedule(network, 2 * -(-len(dataset) // 4))
    work = LocalUpdate(first_epoch=0, epochs=2, total_epochs=2, seed=seed)
    train(network, dataset, task.training, work, torch.device("cpu"))
    assert same(read_state(network), floats(own(made, "b")))
    assert same(own(zero, "b"), own(made, "b"))


def test_alignment_changes_what_is_learnt_and_it_can_be_repeated(config: Config) -> None:
    plain, aligned = config("soft", recipe=PLAIN), config("near", recipe=ALIGNED, name="near")
    again = config("near", recipe=ALIGNED, name="again")
    for made in (plain, aligned, again):
        run(made)
    assert not same(own(plain, "c"), own(aligned, "c"))
    assert same(own(again, "c"), own(aligned, "c"))


def test_a_rate_of_its_own(config: Config) -> None:
    slow = "tailoring: {epochs: 1, fine-tune: all, learning-rate: 1e-9}"
    made = config("slow", recipe=slow, rounds=1)
    run(made)
    weights = [n for n in model(made) if n.endswith("conv1.weight")]
    for name in weights:
        np.testing.assert_allclose(own(made, "a")[name], model(made)[name], atol=1e-7)


def test_hold_outs_test_the_global_model(config: Config) -> None:
    run(config(name="plain", holdout="c"))
    made = config("soft", recipe=PLAIN, holdout="c", name="soft")
    result, _ = run(made)
    assert set(result["models"][0]["test"]) == {"a", "b", "c"}
    assert {p.stem for p in made.own_models.glob("*.safetensors")} == {"a", "b"}

    def predictions(config: LocalRun, site: str) -> bytes:
        return (config.cell / "predictions" / "all" / f"{site}.csv").read_bytes()

    plain = config(name="plain")
    assert predictions(made, "c") == predictions(plain, "c")
    assert predictions(made, "a") != predictions(plain, "a")


def test_encrypted_the_counts_are_those_of_the_tailored_models(config: Config) -> None:
    made = config("ftl-encrypted", scheme="bfv")
    result, _ = run(made)
    assert result["models"] == []
    task = loader.load(TaskRecipe, made.task)
    recipe = loader.load(StrategyRecipe, made.strategy)
    opened = open_sealed(
        made.server / "sealed.safetensors", task, recipe, SiteKey.load(Path(made.key))
    )
    assert opened.counts is not None
    total = None
    for site in SIZES:
        path = made.cell / "predictions" / "all" / f"{site}.csv"
        read = read_predictions(path, task.classes)
        counts = Counts.of(read.probabilities, read.labels)
        total = counts if total is None else total + counts
        mine = own(made, site)
        assert mine["head.weight"].tobytes() != opened.state["head.weight"].tobytes()
    assert total is not None
    assert (opened.counts.to_vector() == total.to_vector()).all()
    assert not list(made.server.glob("model*"))


def test_personal_normalisation_and_tailoring_together(config: Config) -> None:
    made = config("both", recipe="local: normalisation\ntailoring: {epochs: 1}", scheme="")
    run(made)
    (last,) = (made.own_models / "a" / "memory").glob("*/own-2.safetensors")
    mine = own(made, "a")
    for name, values in load_file(last).items():
        assert mine[name].tobytes() == values.tobytes()
    assert mine["head.weight"].tobytes() != model(made)["head.weight"].tobytes()


def test_a_layer_that_is_not_there_ends_the_run_before_it_begins(config: Config) -> None:
    made = config("odd", recipe="tailoring: {epochs: 1, fine-tune: from nowhere}")
    with pytest.raises(RecipeError, match="'from nowhere': this network has no such layer"):
        run(made)
    assert not (made.server / "journal.jsonl").exists()


def test_from_a_layer_on(config: Config) -> None:
    made = config("tail", recipe="tailoring: {epochs: 1, fine-tune: from head}", rounds=1)
    run(made)
    shared, mine = model(made), own(made, "a")
    assert {n for n in shared if shared[n].tobytes() != mine[n].tobytes()} == HEAD


def test_a_deployed_site_keeps_its_model_beside_its_cache(
    config: Config, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nodes with folders of their own; recipes by name from the working folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tasks").mkdir()
    Path(config().task).rename(tmp_path / "tasks" / "tiny.yaml")
    made = config("ftl", task="tiny", data="at the sites", rounds=1)
    seen: list[str] = []
    run_deployed(made, data, tmp_path, seen)
    (name,) = {word for word in seen if word}
    assert len(name) == 32
    for site in SIZES:
        folder = tmp_path / site / "models"
        assert [p.relative_to(folder) for p in folder.rglob("*.safetensors")] == [
            Path(name, f"{site}.safetensors")
        ]
    assert not list(made.own_models.glob("*.safetensors"))


def test_a_run_s_name_that_is_a_path_is_refused(
    config: Config, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tasks").mkdir()
    Path(config().task).rename(tmp_path / "tasks" / "tiny.yaml")
    made = config("ftl", task="tiny", data="at the sites", rounds=1)

    run_deployed(made, data, tmp_path, [], called="../../x")
    reasons = {event["reason"] for event in events(made, "failure")}
    assert reasons == {
        "FederationError: the message's terms: run: String should match pattern '^[0-9a-f]{32}$'"
    }
    assert not list(tmp_path.rglob("[abc].safetensors"))


def run_deployed(
    made: LocalRun, data: Path, places: Path, runs: list[str], called: str = ""
) -> None:
    """Every node has its own folders; ``runs`` receives the name of the run in each message.

    ``called``: another name of the run in the messages that ask for a test.
    """

    def note(_node: int, message: Message) -> Message:
        if called and message.metadata.message_type == "evaluate":
            message.content.config_records["config"]["run"] = called
        runs.append(str(message.content.config_records["config"].get("run", "")))
        return message

    network = LoopbackGrid(app, made.values, nodes=3, fault=note)
    for i, site in enumerate(SIZES):
        own: UserConfig = {"site": site, "data-dir": str(data / site), "threads": 1}
        network.contexts[100 + i].node_config.update(
            {**own, "cache-dir": str(places / site / "cache")}
        )
    play(network, made)
