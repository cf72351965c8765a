"""Server and sites together, over a loopback network, with real files and real training."""

import json
from pathlib import Path

import numpy as np
import pytest
from flwr.app import (
    Array,
    Context,
    Error,
    Message,
    RecordDict,
)
from flwr.common import NDArrays, Scalar
from helpers.federation import Config, events, model, run
from helpers.loopback_grid import LoopbackGrid
from safetensors.torch import load_file as load_torch

from ucadi_flwr import server_app as server_app_module
from ucadi_flwr.client_app import app
from ucadi_flwr.errors import DataError
from ucadi_flwr.models.factory import make_model
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.task import TaskRecipe
from ucadi_flwr.results.journal import Journal
from ucadi_flwr.results.rounds import SiteRecord
from ucadi_flwr.server_app import app as server_app
from ucadi_flwr.site.client import SiteClient

pytestmark = pytest.mark.usefixtures("no_pauses")


def test_a_run_says_what_it_did(config: Config) -> None:
    result, network = run(config())
    assert [r["round"] for r in result["rounds"]] == [1, 2]
    first = result["rounds"][0]
    assert {site: r["examples"] for site, r in first["sites"].items()} == {"a": 12, "b": 6, "c": 18}
    assert all(r["epochs"] == 1 and r["loss"] > 0 for r in first["sites"].values())
    assert first["failures"] == []
    values = sum(a.size for a in model(config()).values() if a.dtype == np.float32)
    assert 4 * values < first["bytes_up"] / 3 < 4 * values + 500
    named = 200 * len(model(config()))  # the model that all begin with travels by tensor name
    assert 4 * values < first["bytes_down"] / 3 < 4 * values + named
    assert 4 * values < result["rounds"][1]["bytes_down"] / 3 < 4 * values + 1000
    (only,) = result["models"]
    assert (only["trained_at"], only["file"]) == ("all", "model.safetensors")
    assert {site: t["n"] for site, t in only["test"].items()} == {"a": 4, "b": 2, "c": 6}
    kinds = [m.metadata.message_type for m in network.pushed]
    assert kinds == ["query"] * 3 + ["train"] * 6 + ["evaluate"] * 3
    assert events(config(), "gathered")[0]["sites"] == ["a", "b", "c"]


def test_the_file_loads_strictly_into_the_task_s_model(config: Config) -> None:
    run(config(rounds=1))
    task = loader.load(TaskRecipe, config().task)
    network = make_model(task, seed=9)
    network.load_state_dict(load_torch(config().server / "model.safetensors"), strict=True)


def test_the_order_of_answers_does_not_change_a_bit(config: Config) -> None:
    run(config(name="there"))
    run(config(name="back"), order=lambda replies: replies[::-1])
    there, back = model(config(name="there")), model(config(name="back"))
    assert all(there[name].tobytes() == back[name].tobytes() for name in there)


def test_another_seed_is_another_model(config: Config) -> None:
    run(config(name="zero", rounds=1))
    run(config(name="one", rounds=1, seed=1))
    zero, one = model(config(name="zero")), model(config(name="one"))
    assert any(not np.array_equal(zero[name], one[name]) for name in zero)


def test_fedavg_is_the_mean_weighted_by_examples_and_epochs(config: Config) -> None:
    """Against the sites' own answers, averaged in float64."""
    fit = SiteClient.fit
    answers: list[tuple[int, dict[str, np.ndarray]]] = []

    def spy(
        client: SiteClient, parameters: NDArrays, config: dict[str, Scalar]
    ) -> tuple[NDArrays, int, dict[str, Scalar]]:
        arrays, n, metrics = fit(client, parameters, config)
        answers.append((n, dict(zip(client.tensors.shapes, arrays, strict=True))))
        return arrays, n, metrics

    for strategy in ("fedavg", "fedavg-equal"):
        answers.clear()
        made = config(strategy, name=strategy, rounds=1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(SiteClient, "fit", spy)
            run(made)
        mean = model(made)
        weights = [n if strategy == "fedavg" else 1 for n, _ in answers]
        for name in answers[0][1]:
            stack = np.stack([state[name].astype(np.float64) for _, state in answers])
            expected = np.tensordot(weights, stack, axes=1) / sum(weights)
            np.testing.assert_allclose(mean[name], expected, rtol=1e-6, atol=1e-9)
        assert sorted(n for n, _ in answers) == [6, 12, 18]


def test_the_server_app_makes_the_phantom_and_keeps_its_errors(
    tmp_path: Path, config: Config
) -> None:
    """As ``flwr run .`` does, without a data folder."""
    task = Path(config().task)
    text = task.read_text().replace("[left, right]", "[healthy, covid]").replace("right", "covid")
    text += "labels: {ground-glass: covid, consolidation: covid}\n"
    no_phantom = config(task=str(task), data="")
    context = Context(1, 1, {}, RecordDict(), no_phantom.values)
    with pytest.raises(DataError, match="has no phantom"):
        server_app(LoopbackGrid(app, no_phantom.values, 3), context)
    assert "has no phantom" in events(no_phantom, "stopped")[0]["reason"]
    task.write_text(text + "phantom: {sites: 3, cases-per-site: 8, size: [8, 16, 16]}\n")
    made = config(data="", rounds=1)
    context.run_config.update(made.values)
    server_app(LoopbackGrid(app, made.values, 3), context)
    result = json.loads((made.server / "run.json").read_text())
    assert sorted(result["models"][0]["test"]) == ["site-1", "site-2", "site-3"]


def test_local_is_every_site_alone(config: Config) -> None:
    result, _ = run(config("local"))
    assert [m["trained_at"] for m in result["models"]] == ["a", "b", "c"]
    for m in result["models"]:
        assert set(m["test"]) == {"a", "b", "c"}
        assert m["file"] == f"model-{m['trained_at']}.safetensors"
    run(
        config(name="alone", recipe="min-sites: 1", strategy="solo", rounds=2),
        fault=lambda n, m: (
            m
            if n == 100 or m.metadata.message_type != "train"
            else Message(Error(2, "left out"), reply_to=m)
        ),
    )
    local, alone = model(config(), "model-a"), model(config(name="alone"))
    assert all(local[name].tobytes() == alone[name].tobytes() for name in alone)


def test_a_site_alone_whose_model_is_damaged_does_not_end_the_others(config: Config) -> None:
    def cut(node: int, reply: Message) -> Message:
        sealed = reply.content.array_records.get("sealed")
        if node == 101 and sealed is not None:
            sealed["model"] = Array(sealed["model"].numpy()[:-1])
        return reply

    result, _ = run(config("local", rounds=1), alter=cut)
    assert [m["trained_at"] for m in result["models"]] == ["a", "c"]
    assert [f["site"] for f in result["rounds"][0]["failures"]] == ["b"]


def test_central_trains_on_the_pooled_images_once(config: Config) -> None:
    result, network = run(config("central"))
    assert [list(r["sites"]) for r in result["rounds"]] == [["all"], ["all"]]
    assert result["rounds"][0]["sites"]["all"]["examples"] == 36
    assert sum(m.metadata.message_type == "train" for m in network.pushed) == 2
    assert set(result["models"][0]["test"]) == {"a", "b", "c"}


@pytest.mark.parametrize("strategy", ["fedprox", "fedavgm", "fedadam"])
def test_other_strategies_run_and_differ_from_fedavg(config: Config, strategy: str) -> None:
    run(config(name="plain"))
    run(config(strategy, name=strategy))
    plain, other = model(config(name="plain")), model(config(name=strategy))
    assert any(not np.array_equal(plain[name], other[name]) for name in plain)
    assert all(np.isfinite(values).all() for values in other.values())


def test_mu_zero_is_fedavg(config: Config) -> None:
    run(config(name="plain", rounds=1))
    run(config("prox-zero", recipe="proximal-mu: 0.0", name="zero", rounds=1))
    plain, zero = model(config(name="plain")), model(config(name="zero"))
    assert all(plain[name].tobytes() == zero[name].tobytes() for name in plain)


def test_local_epochs_make_fewer_rounds(config: Config) -> None:
    made = config("two", recipe="local-epochs: 2", rounds=0)
    result, _ = run(made)
    assert len(result["rounds"]) == 1
    assert all(r["epochs"] == 2 for r in result["rounds"][0]["sites"].values())
    assert not any("the task has" in event["text"] for event in events(made, "log"))


def test_local_epochs_that_do_not_divide_the_task_s_are_reported(config: Config) -> None:
    made = config("three", recipe="local-epochs: 3", rounds=0)
    result, _ = run(made)
    assert len(result["rounds"]) == 1
    assert "1 rounds of 3 local epochs are 3 epochs; the task has 2" in [
        event["text"] for event in events(made, "log")
    ]


def test_answers_are_added_one_by_one(config: Config) -> None:
    """Streaming: the mean has an answer before the next one is pulled."""
    made = config(rounds=1)
    network = LoopbackGrid(app, made.values, nodes=3)
    seen: list[tuple[int, int]] = []
    journal = Journal(made.server / "journal.jsonl")
    original = journal.answer

    def answer(server_round: int, site: str, answer: SiteRecord) -> None:
        trains = sum(m.metadata.message_type == "train" for m in network.pending.values())
        seen.append((len(seen) + 1, trains))
        original(server_round, site, answer)

    journal.answer = answer  # type: ignore[method-assign]
    server_app_module.run(network, made.config, made.folder.server, journal)
    assert seen == [(1, 2), (2, 1), (3, 0)]
