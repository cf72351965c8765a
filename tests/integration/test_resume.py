"""Runs that die at any point go on from their last checkpoint, and end at the same bits."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Array, Error, Message
from helpers.federation import Config, LocalRun, events, model, opened, play, run, same
from helpers.loopback_grid import LoopbackGrid
from safetensors import SafetensorError

from ucadi_flwr.client_app import app
from ucadi_flwr.errors import FederationError
from ucadi_flwr.files import atomic
from ucadi_flwr.protection.keys import SiteKey
from ucadi_flwr.server.checkpoints import KEPT

pytestmark = pytest.mark.usefixtures("no_pauses")

ADAM = "server-optimizer: {name: fedadam, learning-rate: 0.01}\nprotection: bfv"
DEATHS = [
    ("fedavg", "train", "1"),
    ("fedavg", "train", "3"),
    ("fedavg", "evaluate", "4"),
    ("ucadi", "query.weigh", "1"),
    ("ucadi", "train", "2"),
    ("ucadi", "evaluate", "4"),
    ("adam", "train", "3"),
    ("local", "train", "4"),
    ("central", "train", "2"),
]


class Killed(BaseException):
    """The server's process is gone."""


def killing(kind: str, group: str) -> Callable[[int, Message], Message]:
    """Kill the server when the second site is asked this."""

    def fault(node: int, message: Message) -> Message:
        hit = message.metadata.message_type == kind and message.metadata.group_id == group
        if hit and (node == 101 or kind == "evaluate"):
            raise Killed
        return message

    return fault


def state(config: LocalRun) -> dict[str, np.ndarray]:
    if not config.context:
        return model(config, "model-b" if "local" in config.strategy else "model")
    found = opened(config)
    assert sorted(found.losses) in ([], [1, 2, 3, 4])
    return found.state


def resumed(config: LocalRun, **grid: Any) -> tuple[dict[str, Any], LoopbackGrid]:
    return run(config.changed(resume=True), **grid)


def made(config: Config, strategy: str, **changes: Any) -> LocalRun:
    if strategy == "adam":
        changes["recipe"] = ADAM
    scheme = "bfv" if strategy in ("ucadi", "adam") else ""
    return config(strategy, scheme=scheme, rounds=4, **changes)


@pytest.mark.parametrize(("strategy", "kind", "group"), DEATHS)
def test_a_resumed_run_ends_at_the_same_bits(
    config: Config, strategy: str, kind: str, group: str
) -> None:
    whole = made(config, strategy, name="whole")
    expected, _ = run(whole)
    broken = made(config, strategy, name="broken")
    with pytest.raises(Killed):
        run(broken, fault=central_death(group) if strategy == "central" else killing(kind, group))
    assert not (broken.server / "run.json").exists()
    result, network = resumed(broken)
    assert same(state(broken), state(whole))
    assert [r["round"] for r in result["rounds"]] == [1, 2, 3, 4]
    for mine, theirs in zip(result["rounds"], expected["rounds"], strict=True):
        assert sorted(mine["sites"]) == sorted(theirs["sites"])
        assert mine["loss"] == theirs["loss"]
    before = int(group) - 1 if kind == "train" else (4 if kind == "evaluate" else 0)
    assert [e["round"] for e in events(broken, "resumed")] == ([before] if before else [])
    trained = {m.metadata.group_id for m in network.pushed if m.metadata.message_type == "train"}
    assert trained == {str(number) for number in range(before + 1, 5)}
    assert not (broken.server / "checkpoints").exists()


def central_death(group: str) -> Callable[[int, Message], Message]:
    def fault(node: int, message: Message) -> Message:
        if message.metadata.message_type == "train" and message.metadata.group_id == group:
            raise Killed
        return message

    return fault


def test_a_run_may_die_many_times(config: Config) -> None:
    """Its attempts are numbered on, since a site does not go back."""
    whole = made(config, "ucadi", name="whole")
    run(whole)
    broken = made(config, "ucadi", name="broken")
    with pytest.raises(Killed):
        run(broken, fault=killing("train", "2"))
    for group in ("2", "2", "3"):
        with pytest.raises(Killed):
            resumed(broken, fault=killing("train", group))
    _, network = resumed(broken)
    names = {
        str(m.content.config_records["config"]["exchange"])
        for m in network.pushed
        if m.metadata.message_type == "train"
    }
    assert names == {"3.32", "4.32"}
    assert same(state(broken), state(whole))


def test_checkpoints_are_pruned(config: Config) -> None:
    broken = made(config, "adam", name="broken")
    with pytest.raises(Killed):
        run(broken, fault=killing("evaluate", "4"))
    folder = broken.server / "checkpoints"
    manifests = sorted(p.name for p in folder.glob("*.json"))
    assert manifests == ["round-00003.json", "round-00004.json"]
    assert len(manifests) == KEPT
    assert len(list(folder.iterdir())) == KEPT + 4  # server Adam needs every sum


def test_a_run_that_did_not_finish_is_not_overwritten(config: Config) -> None:
    broken = made(config, "fedavg")
    with pytest.raises(Killed):
        run(broken, fault=killing("train", "3"))
    with pytest.raises(FederationError, match="a run did not finish here; resume it"):
        run(broken)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def edit(path: Path) -> None:
    path.write_text(path.read_text().replace('"examples": 12', '"examples": 13'))


@pytest.mark.parametrize(
    ("damage", "pattern", "reason"),
    [
        (cut, "round-*.json", "truncated, or no checkpoint; delete it to go back a round"),
        (edit, "round-*.json", "altered; delete it to go back a round"),
        (cut, "[0-9a-f]" * 64, "truncated or altered"),
        (Path.unlink, "[0-9a-f]" * 64, "No such file"),
        (lambda p: p.write_text("[]"), "round-*.json", "no checkpoint"),
        (lambda p: p.write_text('{"checkpoint": {}, "sha256": 3}'), "round-*.json", "altered"),
    ],
)
def test_a_damaged_checkpoint_is_refused(
    config: Config, damage: Callable[[Path], Any], pattern: str, reason: str
) -> None:
    broken = made(config, "fedavg")
    with pytest.raises(Killed):
        run(broken, fault=killing("train", "3"))
    for path in (broken.server / "checkpoints").glob(pattern):
        damage(path)
    with pytest.raises(FederationError, match=reason):
        resumed(broken)


def test_one_checkpoint_back_is_as_good(config: Config) -> None:
    whole = made(config, "ucadi", name="whole")
    run(whole)
    broken = made(config, "ucadi", name="broken")
    with pytest.raises(Killed):
        run(broken, fault=killing("evaluate", "4"))
    newest = broken.server / "checkpoints" / "round-00004.json"
    cut(newest)
    newest.unlink()
    resumed(broken)
    assert same(state(broken), state(whole))


@pytest.mark.parametrize(
    ("change", "what"),
    [({"seed": 1}, "initial and seed"), ({"rounds": 5}, "rounds"), ({"key": ""}, "key id")],
)
def test_another_run_s_checkpoint_is_refused(
    config: Config, change: dict[str, Any], what: str, tmp_path: Path
) -> None:
    broken = made(config, "ucadi")
    with pytest.raises(Killed):
        run(broken, fault=killing("train", "3"))
    if "key" in change:
        other = SiteKey.create("bfv")
        other.context.save(tmp_path / "other.context")
        change = {"context": str(tmp_path / "other.context")}
    with pytest.raises(FederationError, match=rf"is of another run \({what} differ\)"):
        resumed(broken.changed(**change))


def test_a_recipe_that_changed_is_refused(config: Config) -> None:
    broken = config("mine", recipe="min-sites: 2", rounds=4)
    with pytest.raises(Killed):
        run(broken, fault=killing("train", "3"))
    changed = config("mine", recipe="min-sites: 1", rounds=4)
    with pytest.raises(FederationError, match=r"is of another run \(strategy differ\)"):
        resumed(changed)


def test_a_full_disk_stops_the_run_at_the_round_before(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = made(config, "ucadi", name="whole")
    run(whole)
    broken = made(config, "ucadi", name="broken")
    sync, full = atomic._sync, []

    def no_room(path: Path) -> None:
        if "checkpoints" in str(path) and path.name.startswith("round-00003"):
            full.append(path)
            raise OSError(28, "No space left on device")
        sync(path)

    def no_tensors(*_: object) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    with monkeypatch.context() as patch:
        patch.setattr(atomic, "_sync", no_room)
        patch.setattr("ucadi_flwr.exchange.sealed_run.save_file", no_tensors)
        with pytest.raises(FederationError, match=r"checkpoint of round 3 .*No space left.*resume"):
            run(broken)
    assert full
    assert not list((broken.server / "checkpoints").glob("*.partial"))
    resumed(broken)
    assert same(state(broken), state(whole))


def test_a_disk_that_is_full_at_the_last_file_stops_the_run(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = made(config, "ucadi", name="whole")
    run(whole)
    broken = made(config, "ucadi", name="broken")

    def no_tensors(*_: object) -> None:
        raise SafetensorError("I/O error: No space left on device (os error 28)")

    with monkeypatch.context() as patch:
        patch.setattr("ucadi_flwr.exchange.sealed_run.save_file", no_tensors)
        with pytest.raises(OSError, match=r"sealed.safetensors: .*No space left"):
            run(broken)
    resumed(broken)
    assert same(state(broken), state(whole))


@pytest.mark.parametrize("bad", [1, 3])
def test_a_sum_that_was_given_up_is_made_again(config: Config, bad: int) -> None:
    """A machine damaged it; the next process goes on from the round before."""
    whole = made(config, "ucadi", name="whole")
    run(whole)
    broken = made(config, "ucadi", name="broken")
    sealed: list[int] = []

    def damage(node: int, reply: Message) -> Message:
        found = reply.content.array_records.get("sealed")
        if node == 101 and found is not None and "model" in found:
            sealed.append(node)
            if len(sealed) == bad:
                content = bytearray(found["model"].numpy().tobytes())
                content[-100] ^= 1
                found["model"] = Array(np.frombuffer(bytes(content), np.uint8))
        return reply

    with pytest.raises(FederationError, match=f"the sum of round {bad} is given up"):
        run(broken, alter=damage)
    resumed(broken)
    assert same(state(broken), state(whole))


# ---------------------------------------------------------------- sites that come back


def test_a_round_below_the_quorum_waits_for_sites_to_come_back(config: Config) -> None:
    whole = made(config, "ucadi", name="whole")
    run(whole)
    broken = made(config, "ucadi", name="broken")
    lost: list[int] = []

    def crash_twice(node: int, message: Message) -> Message:
        hit = node == 101 and message.metadata.message_type == "train"
        if hit and message.metadata.group_id == "2" and len(lost) < 2:
            lost.append(node)
            return Message(Error(8, "the client's process ended"), reply_to=message)
        return message

    result, _ = run(broken, fault=crash_twice)
    assert result["rounds"][1]["attempts"] == 3
    assert sorted(result["rounds"][1]["sites"]) == ["a", "b", "c"]
    assert "waiting 120 s for sites to come back" in str(events(broken, "log"))
    assert same(state(broken), state(whole))


def test_a_node_that_is_not_back_yet_is_asked_again_who_it_is(config: Config) -> None:
    """After everything died, Flower counts nodes as present for a minute that are not."""
    made_run = made(config, "ucadi")
    lost: list[int] = []

    def gone_twice(node: int, message: Message) -> Message:
        if node == 101 and message.metadata.message_type == "query" and len(lost) < 2:
            lost.append(node)
            return Message(Error(5, "node is not available"), reply_to=message)
        return message

    result, _ = run(made_run, fault=gone_twice)
    assert len(lost) == 2
    assert [sorted(r["sites"]) for r in result["rounds"]] == [["a", "b", "c"]] * 4


def test_a_site_that_fails_by_itself_is_not_waited_for(config: Config) -> None:
    broken = config("strict", recipe="min-sites: 3\nwait-for-sites: 10000.0")

    def own_error(node: int, message: Message) -> Message:
        hit = node == 101 and message.metadata.message_type == "train"
        return Message(Error(2, "disk full"), reply_to=message) if hit else message

    with pytest.raises(FederationError, match="2 sites answered"):
        run(broken, fault=own_error)


def test_the_ledger_holds_sizes_only_if_weights_are_public(config: Config) -> None:
    for strategy, public in (("fedavg", True), ("ucadi", False)):
        broken = made(config, strategy, name=strategy)
        with pytest.raises(Killed):
            run(broken, fault=killing("train", "3"))
        whole = json.loads((broken.server / "checkpoints" / "round-00002.json").read_text())
        ledger = whole["checkpoint"]["ledger"]
        assert [sorted(record["sites"]) for record in ledger] == [["a", "b", "c"]] * 2
        sizes = [site["examples"] for record in ledger for site in record["sites"].values()]
        assert (sizes == [12, 6, 18] * 2) if public else (set(sizes) == {None})


def test_two_processes_do_not_serve_one_run(config: Config) -> None:
    from ucadi_flwr.files.locks import held

    made_run = made(config, "fedavg")
    made_run.server.mkdir(parents=True)
    refused = pytest.raises(FederationError, match="another process is working there; wait")
    with held(made_run.server, "x"), refused, held(made_run.server, "wait"):
        pass
    with held(made_run.server, "x"):
        pass
    play(LoopbackGrid(app, made_run.values, nodes=3), made_run)
