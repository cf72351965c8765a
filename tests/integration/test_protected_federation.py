"""Whole federations whose server adds up models that it cannot read."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from federation import SIZES, Config, events, model, run
from flwr.app import Array, Message, RecordDict
from loopback_grid import LoopbackGrid
from safetensors.numpy import load_file

from ucadi_flwr.aggregation.optimizers import Moments, step
from ucadi_flwr.build import make_model
from ucadi_flwr.client_app import app
from ucadi_flwr.cohort import Cohort
from ucadi_flwr.errors import DataError, FederationError, ProtectionError
from ucadi_flwr.exchange.agreement import Agreement
from ucadi_flwr.exchange.memory import SiteMemory
from ucadi_flwr.models.state import read_state, trainable_names
from ucadi_flwr.protection import ranges
from ucadi_flwr.protection.frame import Occasion
from ucadi_flwr.protection.keys import SiteKey
from ucadi_flwr.protection.protect import make_site
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe
from ucadi_flwr.rounds import Journal
from ucadi_flwr.run_config import RunConfig
from ucadi_flwr.sealed_run import FILE, Opened, open_sealed
from ucadi_flwr.server_app import run_cell
from ucadi_flwr.site_client import SiteClient

pytestmark = pytest.mark.usefixtures("no_pauses")

ADAM = "server-optimizer: {name: fedadam, learning-rate: 0.01}"


def opened(config: RunConfig) -> Opened:
    """As a key holder reads it."""
    task, recipe = (
        loader.load(TaskRecipe, config.task),
        loader.load(StrategyRecipe, config.strategy),
    )
    return open_sealed(config.server / FILE, task, recipe, SiteKey.load(Path(config.key)))


def same(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> bool:
    return a.keys() == b.keys() and all(a[n].tobytes() == b[n].tobytes() for n in a)


def remembered(config: RunConfig, site: str) -> dict[str, np.ndarray]:
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
    made, losses, counts = config("ucadi", scheme="bfv"), [], []
    fit, evaluate = SiteClient.fit, SiteClient.evaluate

    def spy_fit(client: SiteClient, *args: Any) -> Any:
        found = fit(client, *args)
        losses.append((found[2]["loss"], found[1]))
        return found

    def spy_evaluate(client: SiteClient, *args: Any) -> Any:
        found = evaluate(client, *args)
        counts.append(np.frombuffer(found[2]["counts"], np.int64))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SiteClient, "fit", spy_fit)
        patch.setattr(SiteClient, "evaluate", spy_evaluate)
        result, _ = run(made)
    found = opened(made)
    for number in (1, 2):
        part = losses[3 * (number - 1) : 3 * number]
        mean = sum(loss * n for loss, n in part) / sum(n for _, n in part)
        assert found.losses[number] == pytest.approx(mean, abs=3 / 2**11)
    assert found.counts is not None
    assert (found.counts.to_vector() == np.sum(counts, axis=0)).all()
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
    stored = load_file(made.server / FILE)
    asked = next(m for m in network.pushed if m.metadata.message_type == "train")
    run_id = str(asked.content.config_records["config"]["run"])
    shapes = {name: values.shape for name, values in initial.items()}
    agreement = Agreement(recipe, run_id, shapes, 2)
    state, moments = initial, Moments()
    trainable = trainable_names(make_model(task, 0))
    for number in range(1, 5):
        blob = stored[f"sum/{number}.0"].tobytes()
        occasion = Occasion(f"{run_id}/all", number)
        mean = make_site(key, "x", 3).open(agreement.model, occasion, blob).state
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
    network = LoopbackGrid(app, made.model_dump(), nodes=3)
    network.online = {100, 101}
    greet, calls = Cohort.greet, []

    def scene(self: Cohort, *args: Any) -> None:
        calls.append(1)
        if len(calls) == 4:  # before round 3
            network.online.add(102)
        if len(calls) == 5:  # before round 4
            shutil.rmtree(made.cell / "sites" / "a")
        greet(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Cohort, "greet", scene)
        run_cell(network, made, Journal(made.server / "journal.jsonl"))
    result = json.loads((made.server / "run.json").read_text())
    took_part = [sorted(r["sites"]) for r in result["rounds"]]
    assert took_part == [["a", "b"], ["a", "b"], ["a", "b", "c"], ["b", "c"], ["a", "b", "c"]]
    assert "there is no model to go on from" in result["rounds"][3]["failures"][0]["reason"]
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
    assert {m.content.config_records["config"]["exchange"] for m in second} == {"1.1"}
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


# ---------------------------------------------------------------- what is refused, and who is named


def changed(
    node: int, change: Callable[[bytes], bytes], part: str = "model", at: str = "train"
) -> Callable[[int, Message], Message]:
    """One node's sealed part, changed on its way."""

    def alter(n: int, reply: Message) -> Message:
        sealed = reply.content.array_records.get("sealed")
        if n == node and sealed is not None and part in sealed:
            blob = change(sealed[part].numpy().tobytes())
            sealed[part] = Array(np.frombuffer(blob, np.uint8))
        return reply

    return alter


def recorded() -> tuple[list[bytes], Callable[[int, Message], Message]]:
    """What the sites sent, and a node 101 that sends the first of it again."""
    sent: list[bytes] = []

    def alter(node: int, reply: Message) -> Message:
        sealed = reply.content.array_records.get("sealed")
        if sealed is not None and "model" in sealed:
            sent.append(sealed["model"].numpy().tobytes())
            if node == 101:
                sealed["model"] = Array(np.frombuffer(sent[0], np.uint8))
        return reply

    return sent, alter


REFUSED: dict[str, tuple[Callable[[bytes], bytes], str]] = {
    "truncated": (lambda b: b[:-1], "bytes with a payload of"),
    "long": (lambda b: b + b"\0", "bytes are too many"),
    "random": (lambda b: np.random.default_rng(0).bytes(len(b)), "no protected message"),
    "other round": (lambda b: flip(b, 4 + 1 + 4 + 48 + 3), "the message is of round"),
    "other run": (lambda b: flip(b, 4 + 1 + 4 + 32), "the message is of another run"),
    "other parameters": (lambda b: flip(b, 4 + 1 + 4 + 16), "another model or other parameters"),
    "other key": (lambda b: flip(b, 4 + 1 + 4), "the message is under key"),
    "other ranges": (
        lambda b: flip(b, 4 + 1 + 4 + 48 + 6 + 16 + 1),
        "another global model or other",
    ),
}


def flip(blob: bytes, at: int) -> bytes:
    return blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :]


@pytest.mark.parametrize(("change", "reason"), REFUSED.values(), ids=REFUSED)
def test_a_contribution_that_does_not_fit_is_refused_and_named(
    config: Config, change: Callable[[bytes], bytes], reason: str
) -> None:
    recipe = "protection: bfv\nmin-sites: 2"
    result, _ = run(
        config("duo", recipe=recipe, scheme="bfv", rounds=1), alter=changed(101, change)
    )
    failures = result["rounds"][0]["failures"]
    assert [f["site"] for f in failures] == ["b"]
    assert reason in failures[0]["reason"]
    assert sorted(result["rounds"][0]["sites"]) == ["a", "c"]


def test_a_duplicated_contribution_names_who_sent_it(config: Config) -> None:
    _, alter = recorded()
    made = config("duo", recipe="protection: bfv\nmin-sites: 2", scheme="bfv", rounds=1)
    result, _ = run(made, alter=alter)
    (failure,) = result["rounds"][0]["failures"]
    assert failure["reason"] == "'b' sent a contribution that bears the name 'a'"


def test_a_site_with_another_key_is_named(config: Config, tmp_path: Path) -> None:
    other = tmp_path / "other.key"
    SiteKey.create("bfv").save(other)
    made = config("duo", recipe="protection: bfv\nmin-sites: 2", scheme="bfv", rounds=1)
    network = LoopbackGrid(app, made.model_dump(), nodes=3)
    network.contexts[101].node_config["key"] = str(other)
    run_cell(network, made, Journal(made.server / "journal.jsonl"))
    result = json.loads((made.server / "run.json").read_text())
    (failure, *_) = result["rounds"][0]["failures"]
    assert failure["site"] == "b"
    assert "the message is under key" in failure["reason"]


def test_an_altered_ciphertext_is_found_and_the_last_good_model_stays(config: Config) -> None:
    """Its frame is right: only the sites can see it, when they open the sum."""
    rounds: list[int] = []

    def late(blob: bytes) -> bytes:
        rounds.append(1)
        return flip(blob, len(blob) - 100) if len(rounds) == 2 else blob

    made = config("ucadi", scheme="bfv", rounds=4)
    network = LoopbackGrid(app, made.model_dump(), nodes=3, alter=changed(101, late))
    with pytest.raises(FederationError) as error:
        run_cell(network, made, Journal(made.server / "journal.jsonl"))
    assert "the sum of round 2 is given up and the model of round 1 stays" in str(error.value)
    assert "does not open as the sum of a, b, c" in str(error.value)
    assert list(opened(made).losses) == [1, 2]
    sums = [m.content.array_records.get("sums") or {} for m in network.pushed]
    assert [set(found) for found in sums if found] == [{"1.0"}] * 3 + [{"2.0"}] * 3
    good = next(found["1.0"] for found in sums if "1.0" in found).numpy()
    assert (load_file(made.server / FILE)["sum/1.0"] == good).all()


def test_a_sum_that_some_can_open_is_not_given_up(config: Config, tmp_path: Path) -> None:
    """One site lost its key after round 1; what the others opened is right."""
    other = tmp_path / "other.key"
    SiteKey.create("bfv").save(other)
    made = config("ucadi", scheme="bfv", rounds=2)
    network = LoopbackGrid(app, made.model_dump(), nodes=3)

    def lose(node: int, message: Message) -> Message:
        config = message.content.config_records.get("config") or {}
        if node == 101 and config.get("server-round") == 2:
            network.contexts[node].node_config["key"] = str(other)
        return message

    network.fault = lose
    with pytest.raises(FederationError, match="2 sites answered and min-sites is 3; left out: b:"):
        run_cell(network, made, Journal(made.server / "journal.jsonl"))
    assert list(opened(made).losses) == [1]


def test_a_bad_sum_in_the_last_round_is_found_by_the_test(config: Config) -> None:
    made = config("ucadi", scheme="bfv", rounds=1)
    with pytest.raises(FederationError, match=r"last test \(the sum of round 1 is given up"):
        run(made, alter=changed(101, lambda b: flip(b, len(b) - 100)))
    with pytest.raises(FederationError, match="neither a model nor a sum"):
        opened(made)


@pytest.mark.parametrize("part", ["losses", "weights", "counts"])
def test_other_sealed_parts_are_checked_too(config: Config, part: str) -> None:
    recipe = "protection: {scheme: bfv, weights: encrypted, metrics: encrypted}\nmin-sites: 2"
    made = config("duo", recipe=recipe, scheme="bfv", rounds=1)
    result, _ = run(made, alter=changed(101, lambda b: b[:-1], part=part))
    (failure,) = result["rounds"][0]["failures"]
    assert (failure["site"], "with a payload of" in failure["reason"]) == ("b", True)
    assert ("b" in result["rounds"][0]["sites"]) == (part == "counts")


def test_an_old_round_is_not_sealed_again(config: Config) -> None:
    """A server that asks for a round again under the same number gets nothing."""
    made = config("ucadi", scheme="bfv", rounds=1)
    network = LoopbackGrid(app, made.model_dump(), nodes=3)
    run_cell(network, made, Journal(made.server / "journal.jsonl"))
    again = next(m for m in network.pushed if m.metadata.message_type == "train")
    with pytest.raises(ProtectionError, match=r"round 1\.0 after that of 1\.0; a site does not go"):
        network.app(again, network.contexts[again.metadata.dst_node_id])


def test_a_declared_total_is_refused_where_weights_are_encrypted(config: Config) -> None:
    """It would tell the server whether a weight is larger."""
    made = config("ucadi", scheme="bfv", rounds=1)

    def strip(_node: int, message: Message) -> Message:
        if message.metadata.message_type == "train":
            del message.content["weights"]
            message.content.config_records["config"]["total-weight"] = 10
        return message

    with pytest.raises(FederationError, match="lacks the sum of the encrypted weights"):
        run(made, fault=strip)


def test_a_site_has_time_to_say_its_weight(config: Config) -> None:
    """A busy machine needs longer for it than the quorum is waited for."""
    recipe = "protection: {scheme: bfv, weights: encrypted}\nwait-for-sites: 1.0"
    for timeout, expected in (("", 300.0), ("\nround-timeout: 60.0", 60.0)):
        name = f"mine{expected:.0f}"
        _, network = run(config(name, scheme="bfv", rounds=1, recipe=recipe + timeout, name=name))
        asked = [m for m in network.pushed if m.metadata.message_type == "query.weigh"]
        assert [m.metadata.ttl for m in asked] == [expected] * 3


def test_too_few_sites_for_encryption_is_said(config: Config) -> None:
    made = config("ucadi", scheme="bfv", rounds=1)

    def mute(node: int, message: Message) -> Message | None:
        from flwr.app import Error

        hit = node == 101 and message.metadata.message_type == "query.weigh"
        return Message(Error(2, "disk full"), reply_to=message) if hit else message

    with pytest.raises(
        FederationError, match=r"2 sites gave their weight \(a, c\) and min-sites is 3"
    ):
        run(made, fault=mute)


def test_keys_that_are_missing_or_wrong_are_told(config: Config) -> None:
    with pytest.raises(ProtectionError, match="encrypts and the server has no context"):
        run(config("ucadi"))
    made = config("ucadi", scheme="bfv")
    with pytest.raises(ProtectionError, match="is a site's secret key; a server must never hold"):
        run(made.model_copy(update={"context": made.key}))
    with pytest.raises(ProtectionError, match="is for bfv; strategy fedavg-ckks needs ckks"):
        run(config("fedavg-ckks", scheme="bfv"))
    with pytest.raises(FederationError, match='start its node with key="FILE"'):
        run(made.model_copy(update={"key": ""}))
    ckks = config("fedavg-ckks", scheme="ckks")
    with pytest.raises(FederationError, match="is a key for ckks; the strategy needs bfv"):
        run(made.model_copy(update={"key": ckks.key}))


def test_deployed_nodes_have_their_own_data_name_and_key(
    config: Config, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it comes from the run's settings; the model is the simulation's."""
    simulated = config("ucadi", scheme="bfv", name="simulated")
    run(simulated)
    made = config("ucadi", scheme="bfv", name="deployed")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tasks").mkdir()
    (tmp_path / "tasks" / "tiny.yaml").write_text(Path(made.task).read_text())
    changes = {"task": "tiny", "data": "/nowhere", "key": "/nowhere/key"}
    made = made.model_copy(update=changes)
    settings = made.model_dump()
    network = LoopbackGrid(app, settings, nodes=3)
    for context, site in zip(network.contexts.values(), SIZES, strict=True):
        context.node_config = {
            **{"site": site, "data-dir": str(data / site), "key": simulated.key, "threads": 1},
            "cache-dir": str(made.cell / "caches" / site),
            "memory-dir": str(made.cell / "memories" / site),
        }
    run_cell(network, made, Journal(made.server / "journal.jsonl"))
    deployed = opened(made.model_copy(update={"key": simulated.key})).state
    assert same(deployed, opened(simulated).state)
    assert not (made.cell / "predictions").exists()
    network.contexts[101].node_config["data-dir"] = str(data)
    again = next(m for m in network.pushed if m.metadata.message_type == "query")
    with pytest.raises(DataError, match=r"has 3 sites \(a, b, c\); a node is one site"):
        app(again, network.contexts[101])
    network.contexts[101].run_config = {**settings, "task": simulated.task}
    with pytest.raises(FederationError, match="takes recipes by their names"):
        app(again, network.contexts[101])


# ---------------------------------------------------------------- secrecy


def everything_at_the_server(config: RunConfig, network: LoopbackGrid) -> bytes:
    """Its folder, its journal, and every message that it sent or got, in Flower's wire format."""
    from flwr.common.serde import message_to_proto

    files = [p.read_bytes() for p in sorted(config.server.rglob("*")) if p.is_file()]
    messages = [message_to_proto(m).SerializeToString() for m in network.pushed + network.replies]
    return b"\n".join(files + messages)


@pytest.mark.parametrize(("strategy", "found"), [("fedavg", True), ("ucadi", False)])
def test_the_server_never_has_a_key_a_model_or_a_size(
    config: Config, strategy: str, found: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    """The same search finds all of it in a run without encryption, so the search works."""
    made = config(strategy, scheme="bfv", name=strategy, rounds=3)
    states: list[dict[str, np.ndarray]] = []
    fit, evaluate = SiteClient.fit, SiteClient.evaluate

    def spy_fit(client: SiteClient, parameters: Any, *args: Any) -> Any:
        result = fit(client, parameters, *args)
        states.append(dict(zip(client.shapes, result[0], strict=True)))
        return result

    def spy_evaluate(client: SiteClient, parameters: Any, *args: Any) -> Any:
        states.append(dict(zip(client.shapes, parameters, strict=True)))
        return evaluate(client, parameters, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SiteClient, "fit", spy_fit)
        patch.setattr(SiteClient, "evaluate", spy_evaluate)
        _, network = run(made)
    captured = capfd.readouterr()
    server = everything_at_the_server(made, network) + (captured.out + captured.err).encode()
    key = SiteKey.load(Path(made.key))
    secret = json.loads(Path(made.key).read_text())["secret"]
    assert len(key.secret) >= 64
    for piece in (secret.encode(), key.secret, key.secret[:16], key.derived("tags")):
        assert piece not in server
    assert len(states) == 3 * 3 + 3
    tensors = [values.tobytes() for state in states for values in state.values()]
    initial = {
        t.tobytes() for t in read_state(make_model(loader.load(TaskRecipe, made.task), 0)).values()
    }
    trained = [t for t in tensors if len(t) >= 16 and t not in initial]
    assert len(trained) > 500
    assert any(t in server for t in trained) == found
    sizes = [f'"examples": {3 * n // 4}'.encode() for n in SIZES.values()]
    assert all((size in server) == found for size in sizes)
    shared = [m for m in network.pushed + network.replies if "num-examples" in str(m.content)]
    assert bool(shared) == found


def test_a_record_of_a_site_s_size_is_in_no_message(config: Config) -> None:
    """Every integer that travels in clear, by where it stands."""
    _, network = run(config("ucadi", scheme="bfv", rounds=1))
    own = {3 * n // 4 for n in SIZES.values()} | {n // 4 for n in SIZES.values()} | {36}
    for message in network.pushed + network.replies:
        for record in message.content.config_records.values():
            clear = {k: v for k, v in record.items() if type(v) is int}
            assert clear.keys() <= {"rounds", "seed", "server-round", "total-weight"}
            assert clear.get("total-weight", 0) == 0
        for metrics in message.content.metric_records.values():
            assert set(metrics) == {"epochs", "seconds", "protect-seconds"}
            assert metrics["epochs"] not in own
