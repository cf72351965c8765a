"""A run that is killed at any point continues from its last checkpoint, to the same bits."""

from pathlib import Path

import numpy as np
import pytest
from flwr.app import Array, Message
from helpers.federation import Config, events, run, same
from helpers.killed_run import Killed, configure, final_state, kill, killing, resume
from safetensors import SafetensorError

from ucadi_flwr.errors import FederationError
from ucadi_flwr.files import atomic
from ucadi_flwr.server.checkpoints import KEPT_CHECKPOINTS

pytestmark = pytest.mark.usefixtures("no_pauses")

KILLS = [
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


@pytest.mark.parametrize(("strategy", "kind", "group"), KILLS)
def test_a_resumed_run_ends_at_the_same_bits(
    config: Config, strategy: str, kind: str, group: str
) -> None:
    whole = configure(config, strategy, name="whole")
    expected, _ = run(whole)
    broken = configure(config, strategy, name="broken")
    kill(broken, kind, group)
    assert not (broken.server / "run.json").exists()
    result, network = resume(broken)
    assert same(final_state(broken), final_state(whole))
    assert [r["round"] for r in result["rounds"]] == [1, 2, 3, 4]
    for record, whole_record in zip(result["rounds"], expected["rounds"], strict=True):
        assert sorted(record["sites"]) == sorted(whole_record["sites"])
        assert record["loss"] == whole_record["loss"]
    before = int(group) - 1 if kind == "train" else (4 if kind == "evaluate" else 0)
    assert [e["round"] for e in events(broken, "resumed")] == ([before] if before else [])
    trained = {m.metadata.group_id for m in network.pushed if m.metadata.message_type == "train"}
    assert trained == {str(number) for number in range(before + 1, 5)}
    assert not (broken.server / "checkpoints").exists()


def test_a_run_may_be_killed_many_times(config: Config) -> None:
    """The numbers of its attempts go up, since a site refuses an earlier one."""
    whole = configure(config, "ucadi", name="whole")
    run(whole)
    broken = configure(config, "ucadi", name="broken")
    kill(broken, "train", "2")
    for group in ("2", "2", "3"):
        with pytest.raises(Killed):
            resume(broken, fault=killing("train", group))
    _, network = resume(broken)
    names = {
        str(m.content.config_records["config"]["exchange"])
        for m in network.pushed
        if m.metadata.message_type == "train"
    }
    assert names == {"3.32", "4.32"}
    assert same(final_state(broken), final_state(whole))


def test_a_run_resumes_from_the_checkpoint_before_the_newest(config: Config) -> None:
    whole = configure(config, "ucadi", name="whole")
    run(whole)
    broken = configure(config, "ucadi", name="broken")
    kill(broken, "evaluate", "4")
    (broken.server / "checkpoints" / "round-00004.json").unlink()
    resume(broken)
    assert same(final_state(broken), final_state(whole))


def test_checkpoints_are_pruned(config: Config) -> None:
    broken = configure(config, "adam", name="broken")
    kill(broken, "evaluate", "4")
    folder = broken.server / "checkpoints"
    manifests = sorted(p.name for p in folder.glob("*.json"))
    assert manifests == ["round-00003.json", "round-00004.json"]
    assert len(manifests) == KEPT_CHECKPOINTS
    assert len(list(folder.iterdir())) == KEPT_CHECKPOINTS + 4  # server Adam needs every sum


def no_room_for_tensors(*_: object) -> None:
    raise SafetensorError("I/O error: No space left on device (os error 28)")


def test_a_full_disk_stops_the_run_at_the_round_before(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = configure(config, "ucadi", name="whole")
    run(whole)
    broken = configure(config, "ucadi", name="broken")
    sync, full = atomic._sync, []

    def no_room(path: Path) -> None:
        if "checkpoints" in str(path) and path.name.startswith("round-00003"):
            full.append(path)
            raise OSError(28, "No space left on device")
        sync(path)

    with monkeypatch.context() as patch:
        patch.setattr(atomic, "_sync", no_room)
        patch.setattr("ucadi_flwr.exchange.sealed_run.save_file", no_room_for_tensors)
        with pytest.raises(FederationError, match=r"checkpoint of round 3 .*No space left.*resume"):
            run(broken)
    assert full
    assert not list((broken.server / "checkpoints").glob("*.partial"))
    resume(broken)
    assert same(final_state(broken), final_state(whole))


def test_a_disk_that_is_full_at_the_last_file_stops_the_run(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = configure(config, "ucadi", name="whole")
    run(whole)
    broken = configure(config, "ucadi", name="broken")

    with monkeypatch.context() as patch:
        patch.setattr("ucadi_flwr.exchange.sealed_run.save_file", no_room_for_tensors)
        with pytest.raises(OSError, match=r"sealed.safetensors: .*No space left"):
            run(broken)
    resume(broken)
    assert same(final_state(broken), final_state(whole))


@pytest.mark.parametrize("bad", [1, 3])
def test_a_sum_that_was_given_up_is_computed_again(config: Config, bad: int) -> None:
    """One site's message was damaged; the next process continues from the round before."""
    whole = configure(config, "ucadi", name="whole")
    run(whole)
    broken = configure(config, "ucadi", name="broken")
    sealed: list[int] = []

    def damage(node: int, reply: Message) -> Message:
        record = reply.content.array_records.get("sealed")
        if node == 101 and record is not None and "model" in record:
            sealed.append(node)
            if len(sealed) == bad:
                content = bytearray(record["model"].numpy().tobytes())
                content[-100] ^= 1
                record["model"] = Array(np.frombuffer(bytes(content), np.uint8))
        return reply

    with pytest.raises(FederationError, match=f"the sum of round {bad} is given up"):
        run(broken, alter=damage)
    resume(broken)
    assert same(final_state(broken), final_state(whole))
