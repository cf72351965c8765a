"""Server and sites together, over a loopback network, with real files and real training."""

import json
import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import tiny
from chaos import Clock
from federation import SIZES, Config, events, model, run, train_fault
from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Context,
    Error,
    Message,
    MetricRecord,
    RecordDict,
)
from flwr.common.constant import ErrorCode
from loopback_grid import LoopbackGrid
from safetensors.torch import load_file as load_torch

from ucadi_flwr.build import make_model
from ucadi_flwr.client_app import app
from ucadi_flwr.cohort import Cohort
from ucadi_flwr.errors import DataError, FederationError
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.task import TaskRecipe
from ucadi_flwr.rounds import Journal
from ucadi_flwr.server_app import app as server_app
from ucadi_flwr.server_app import run_cell
from ucadi_flwr.site_client import SiteClient

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
    answers: dict[str, list[tuple[int, dict[str, np.ndarray]]]] = {"fedavg": [], "fedavg-equal": []}
    fit = SiteClient.fit
    for strategy, kept in answers.items():

        def spy(client: SiteClient, *args: Any, kept: list[Any] = kept) -> Any:
            arrays, n, metrics = fit(client, *args)
            kept.append((n, dict(zip(client.shapes, arrays, strict=True))))
            return arrays, n, metrics

        made = config(strategy, name=strategy, rounds=1)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(SiteClient, "fit", spy)
            run(made)
        found = model(made)
        weights = [n if strategy == "fedavg" else 1 for n, _ in kept]
        for name in kept[0][1]:
            stack = np.stack([state[name].astype(np.float64) for _, state in kept])
            expected = np.tensordot(weights, stack, axes=1) / sum(weights)
            np.testing.assert_allclose(found[name], expected, rtol=1e-6, atol=1e-9)
    sizes = sorted(n for n, _ in answers["fedavg"])
    assert sizes == [6, 12, 18]


def test_the_server_app_makes_the_phantom_and_keeps_its_errors(
    tmp_path: Path, config: Config
) -> None:
    """As ``flwr run .`` does, without a data folder."""
    task = Path(config().task)
    text = task.read_text().replace("[left, right]", "[healthy, covid]").replace("right", "covid")
    text += "labels: {ground-glass: covid, consolidation: covid}\n"
    no_phantom = config(task=str(task), data="")
    context = Context(1, 1, {}, RecordDict(), no_phantom.model_dump())
    with pytest.raises(DataError, match="has no phantom"):
        server_app(LoopbackGrid(app, no_phantom.model_dump(), 3), context)
    assert "has no phantom" in events(no_phantom, "stopped")[0]["reason"]
    task.write_text(text + "phantom: {sites: 3, cases-per-site: 8, size: [8, 16, 16]}\n")
    made = config(data="", rounds=1)
    context.run_config.update(made.model_dump())
    server_app(LoopbackGrid(app, made.model_dump(), 3), context)
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
    result, _ = run(config("two", recipe="local-epochs: 2", rounds=0))
    assert len(result["rounds"]) == 1
    assert all(r["epochs"] == 2 for r in result["rounds"][0]["sites"].values())


def test_a_site_that_fails_is_named_and_asked_again(config: Config) -> None:
    calls = []

    def once(message: Message) -> Message:
        calls.append(message)
        if len(calls) > 1:
            return message
        return Message(
            Error(2, "Traceback …\nDataError: c3.nii.gz: not readable"), reply_to=message
        )

    result, _ = run(config(), fault=train_fault(101, once))
    first, second = result["rounds"]
    assert first["failures"] == [{"site": "b", "reason": "DataError: c3.nii.gz: not readable"}]
    assert sorted(first["sites"]) == ["a", "c"]
    assert sorted(second["sites"]) == ["a", "b", "c"]
    assert events(config(), "failure")[0]["site"] == "b"


def lost_once(kind: str, node: int, lost: int | None) -> Callable[[int, Message], Message | None]:
    """The first message of a kind to a node gets ``lost``: nothing, or an error of Flower's."""
    calls = []

    def fault(at: int, message: Message) -> Message | None:
        if message.metadata.message_type != kind or at != node:
            return message
        calls.append(message)
        if len(calls) > 1:
            return message
        return None if lost is None else Message(Error(lost, "it is gone"), reply_to=message)

    return fault


@pytest.mark.parametrize(
    ("lost", "reason"), [(None, "no answer within 60 s"), (ErrorCode.UNKNOWN, "it is gone")]
)
def test_a_site_whose_test_is_lost_is_asked_again(
    config: Config, lost: int | None, reason: str
) -> None:
    made = config("patient", recipe="round-timeout: 60.0", rounds=1)
    with patch("ucadi_flwr.cohort.time", Clock()):
        result, _ = run(made, fault=lost_once("evaluate", 101, lost))
    assert set(result["models"][0]["test"]) == {"a", "b", "c"}
    assert result["rounds"][0]["failures"] == []
    assert f"b is asked again: {reason}" in [e["text"] for e in events(made, "log")]


def test_a_site_whose_own_error_ends_its_test_is_not_asked_again(config: Config) -> None:
    result, _ = run(config(rounds=1), fault=lost_once("evaluate", 101, 2))
    assert set(result["models"][0]["test"]) == {"a", "c"}


def test_a_broken_image_at_one_site_in_mid_run(config: Config, tmp_path: Path) -> None:
    root = tiny.write_sites(tmp_path / "fragile", SIZES)

    def break_b(node: int, message: Message) -> Message:
        if message.metadata.message_type == "train" and message.metadata.group_id == "2":
            for path in (root / "b" / "images").iterdir():
                path.write_bytes(b"broken")
        return message

    result, _ = run(config(data=str(root)), fault=break_b)
    (failure,) = [f for f in result["rounds"][1]["failures"] if f["site"] == "b"][:1]
    assert "not readable as an image" in failure["reason"]
    assert str(root / "b" / "images") in failure["reason"]
    assert sorted(result["rounds"][1]["sites"]) == ["a", "c"]
    assert set(result["models"][0]["test"]) == {"a", "c"}


def test_a_late_site_is_left_out(config: Config) -> None:
    made = config("hasty", recipe="round-timeout: 5.0\nmin-sites: 2", rounds=1)
    with patch("ucadi_flwr.cohort.time", Clock()):
        result, _ = run(made, fault=train_fault(102, lambda _: None))
    assert result["rounds"][0]["failures"] == [{"site": "c", "reason": "no answer within 5 s"}]
    assert sorted(result["rounds"][0]["sites"]) == ["a", "b"]


def test_below_the_quorum_the_run_ends_and_says_who_was_missing(config: Config) -> None:
    made = config("strict", recipe="min-sites: 3")
    broken = train_fault(100, lambda m: Message(Error(2, "disk full"), reply_to=m))
    with pytest.raises(FederationError, match=r"2 sites answered and min-sites is 3.*a: disk full"):
        run(made, fault=broken)
    assert not (made.server / "run.json").exists()


def test_too_few_sites_are_waited_for_with_a_bound(config: Config) -> None:
    made = config("waiting", recipe="min-sites: 4\nwait-for-sites: 0.5", nodes=4)
    with pytest.raises(FederationError, match=r"3 sites are present \(a, b, c\) after 0 s"):
        run(made)


def corrupt(change: Callable[[bytearray, MetricRecord], Any]) -> Callable[..., Any]:
    """The true answer of site b, changed on its way."""

    def alter(node: int, reply: Message) -> Message:
        if node != 101 or "sealed" not in reply.content.array_records:
            return reply
        metrics = reply.content.metric_records["metrics"]
        blob = bytearray(reply.content.array_records["sealed"]["model"].numpy().tobytes())
        change(blob, metrics)
        record = ArrayRecord({"model": Array(np.frombuffer(blob, np.uint8))})
        reply.content = RecordDict({"sealed": record, "metrics": metrics})
        return reply

    return alter


def values(number: float) -> Callable[..., Any]:
    """The model's last value becomes this one."""
    return lambda blob, _: struct.pack_into("<f", blob, len(blob) - 4, number)


def weight(number: int) -> Callable[..., Any]:
    """The answer's own weight, of 36 in total."""
    return lambda blob, _: struct.pack_into("<Q", blob, bytes(blob).index(TOTAL) - 8, number)


TOTAL = struct.pack("<Q", 36)
WRONG: dict[str, tuple[Callable[..., Any], str]] = {
    "nan": (values(math.nan), "holds values that are not finite"),
    "infinite": (values(-math.inf), "not finite"),
    "huge": (values(3e38), "too large for a mean"),
    "short": (lambda b, _: b.pop(), "bytes with a payload of"),
    "long": (lambda b, _: b.extend(bytes(100_000)), "bytes are too many"),
    "empty": (lambda b, _: b.clear(), "0 bytes are too few"),
    "random": (lambda b, _: b.__setitem__(slice(None), b"x" * len(b)), "no protected message"),
    "no weight": (weight(0), "a weight of 0 of 36 cannot be"),
    "too much weight": (weight(37), "a weight of 37 of 36 cannot be"),
    "no examples": (lambda _, m: m.__setitem__("num-examples", 0), "0 examples; 6 were declared"),
    "epochs": (lambda _, m: m.__setitem__("epochs", 7), "7 epochs; the recipe has local-epochs: 1"),
    "loss": (lambda _, m: m.__setitem__("loss", [1.0, 2.0]), "the answer lacks its parts"),
    "nan loss": (lambda _, m: m.__setitem__("loss", math.nan), "loss of nan"),
    "no metrics": (lambda _, m: m.clear(), "the answer lacks its parts"),
}


@pytest.mark.parametrize(("change", "reason"), WRONG.values(), ids=WRONG)
def test_answers_that_do_not_fit_are_left_out(
    config: Config, change: Callable[..., Any], reason: str
) -> None:
    result, _ = run(config(rounds=1), alter=corrupt(change))
    (failure,) = result["rounds"][0]["failures"]
    assert failure["site"] == "b"
    assert reason in failure["reason"]
    assert sorted(result["rounds"][0]["sites"]) == ["a", "c"]


def test_a_test_answer_that_does_not_fit_is_left_out(config: Config) -> None:
    def fault(node: int, message: Message) -> Message:
        if node != 102 or message.metadata.message_type != "evaluate":
            return message
        content = RecordDict({"counts": ArrayRecord({"counts": Array(np.zeros(3, np.int64))})})
        return Message(content, reply_to=message)

    result, _ = run(config(rounds=1), fault=fault)
    assert set(result["models"][0]["test"]) == {"a", "b"}
    assert "counts of 2 classes" in events(config(), "failure")[0]["reason"]


def test_a_site_with_another_recipe_refuses(config: Config, tmp_path: Path) -> None:
    made = config(recipe="proximal-mu: 0.1", strategy="mine", rounds=1)

    def change_recipe(node: int, message: Message) -> Message:
        path = Path(made.strategy)
        path.write_text(path.read_text().replace("0.1", "0.2" if node == 101 else "0.1"))
        if node != 101:
            path.write_text(path.read_text().replace("0.2", "0.1"))
        return message

    run(made, fault=change_recipe)
    (failure, *_) = events(made, "failure")
    assert "recipe mine differs from the server's (strategy-digest" in failure["reason"]


def test_two_nodes_cannot_be_the_same_site(config: Config) -> None:
    made = config(rounds=1)
    network = LoopbackGrid(app, made.model_dump(), nodes=3)
    network.contexts[102].node_config["partition-id"] = 0
    run_cell(network, made, Journal(made.server / "journal.jsonl"))
    result = json.loads((made.server / "run.json").read_text())
    assert sorted(result["rounds"][0]["sites"]) == ["a", "b"]
    assert "second node" in events(made, "failure")[0]["reason"]


def test_a_node_with_a_name_that_is_a_path_is_refused(config: Config) -> None:
    def fault(node: int, message: Message) -> Message:
        if node != 101 or message.metadata.message_type != "query":
            return message
        record = ConfigRecord({"site": "../../etc", "examples": 1, "test-examples": 1})
        return Message(RecordDict({"config": record}), reply_to=message)

    result, _ = run(config(rounds=1), fault=fault)
    assert sorted(result["rounds"][0]["sites"]) == ["a", "c"]
    assert "cannot be named '../../etc'" in events(config(), "failure")[0]["reason"]


def test_a_node_that_does_not_say_who_it_is_is_refused(config: Config) -> None:
    def fault(node: int, message: Message) -> Message:
        mute = node == 101 and message.metadata.message_type == "query"
        return Message(RecordDict(), reply_to=message) if mute else message

    result, _ = run(config(rounds=1), fault=fault)
    assert sorted(result["rounds"][0]["sites"]) == ["a", "c"]


def test_a_node_without_a_site_is_left_alone(config: Config) -> None:
    made = config(rounds=1)
    network = LoopbackGrid(app, made.model_dump(), nodes=3)
    network.contexts[102].node_config["partition-id"] = 7
    run_cell(network, made, Journal(made.server / "journal.jsonl"))
    assert "has 3 sites; run that many nodes" in events(made, "failure")[0]["reason"]


def test_a_site_that_joins_in_mid_run_is_greeted(config: Config) -> None:
    made = config(nodes=2, rounds=2)
    network = LoopbackGrid(app, made.model_dump(), nodes=3)
    network.online = {100, 101}
    original = Cohort.greet
    rounds = []

    def greet(self: Cohort, grid: Any, *rest: Any) -> None:
        rounds.append(1)
        if len(rounds) == 3:  # before round 2
            network.online.add(102)
        original(self, grid, *rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Cohort, "greet", greet)
        run_cell(network, made, Journal(made.server / "journal.jsonl"))
    result = json.loads((made.server / "run.json").read_text())
    assert [sorted(r["sites"]) for r in result["rounds"]] == [["a", "b"], ["a", "b", "c"]]


def test_answers_are_added_one_by_one(config: Config) -> None:
    """Streaming: the mean has an answer before the next one is pulled."""
    made = config(rounds=1)
    network = LoopbackGrid(app, made.model_dump(), nodes=3)
    seen: list[tuple[int, int]] = []
    journal = Journal(made.server / "journal.jsonl")
    original = journal.answer

    def answer(*args: Any) -> None:
        trains = sum(m.metadata.message_type == "train" for m in network.pending.values())
        seen.append((len(seen) + 1, trains))
        original(*args)

    journal.answer = answer  # type: ignore[method-assign]
    run_cell(network, made, journal)
    assert seen == [(1, 2), (2, 1), (3, 0)]
