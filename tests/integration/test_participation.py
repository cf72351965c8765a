"""Who takes part: sites that fail, come late, answer wrongly, are refused or join."""

import json
import math
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from flwr.app import (
    Array,
    ArrayRecord,
    ConfigRecord,
    Error,
    Message,
    MetricRecord,
    RecordDict,
)
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid
from helpers import tiny
from helpers.chaos import Clock
from helpers.federation import SIZES, Config, Reply, clock, events, fault_at, once, play, run
from helpers.loopback_grid import Alter, LoopbackGrid

from ucadi_flwr.client_app import app
from ucadi_flwr.errors import FederationError
from ucadi_flwr.server.cohort import Cohort

pytestmark = pytest.mark.usefixtures("no_pauses")


def test_a_site_that_fails_is_named_and_asked_again(config: Config) -> None:
    broken = Error(2, "Traceback …\nDataError: c3.nii.gz: not readable")
    fault = fault_at(101, once(lambda m: Message(broken, reply_to=m)))
    result, _ = run(config(), fault=fault)
    first, second = result["rounds"]
    assert first["failures"] == [{"site": "b", "reason": "DataError: c3.nii.gz: not readable"}]
    assert sorted(first["sites"]) == ["a", "c"]
    assert sorted(second["sites"]) == ["a", "b", "c"]
    assert events(config(), "failure")[0]["site"] == "b"


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        (lambda _: None, "no answer within 60 s"),
        (lambda m: Message(Error(ErrorCode.UNKNOWN, "it is gone"), reply_to=m), "it is gone"),
    ],
)
def test_a_site_whose_test_is_lost_is_asked_again(
    config: Config, reply: Reply, reason: str
) -> None:
    made = config("patient", recipe="round-timeout: 60.0", rounds=1)
    with clock(Clock()):
        result, _ = run(made, fault=fault_at(101, once(reply), "evaluate"))
    assert set(result["models"][0]["test"]) == {"a", "b", "c"}
    assert result["rounds"][0]["failures"] == []
    assert f"b is asked again: {reason}" in [e["text"] for e in events(made, "log")]


def test_a_site_whose_own_error_ends_its_test_is_not_asked_again(config: Config) -> None:
    broken = Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, "<class 'OSError'>:<'no'>")
    fault = fault_at(101, once(lambda m: Message(broken, reply_to=m)), "evaluate")
    result, _ = run(config(rounds=1), fault=fault)
    assert set(result["models"][0]["test"]) == {"a", "c"}


def test_sealed_counts_are_asked_for_once(config: Config) -> None:
    """A site that had sealed them would refuse, and look as if it could not open the sum."""
    made = config("ucadi", scheme="bfv", rounds=1)
    gone = Error(ErrorCode.UNKNOWN, "it is gone")
    run(made, fault=fault_at(101, once(lambda m: Message(gone, reply_to=m)), "evaluate"))
    assert [e["site"] for e in events(made, "failure")] == ["b"]
    assert not [e for e in events(made, "log") if "asked again" in e["text"]]


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
    with clock(Clock()):
        result, _ = run(made, fault=fault_at(102, lambda _: None))
    assert result["rounds"][0]["failures"] == [{"site": "c", "reason": "no answer within 5 s"}]
    assert sorted(result["rounds"][0]["sites"]) == ["a", "b"]


def test_below_the_quorum_the_run_ends_and_says_who_was_missing(config: Config) -> None:
    made = config("strict", recipe="min-sites: 3")
    broken = fault_at(100, lambda m: Message(Error(2, "disk full"), reply_to=m))
    with pytest.raises(FederationError, match=r"2 sites answered and min-sites is 3.*a: disk full"):
        run(made, fault=broken)
    assert not (made.server / "run.json").exists()


def test_too_few_sites_are_waited_for_with_a_bound(config: Config) -> None:
    made = config("waiting", recipe="min-sites: 4\nwait-for-sites: 0.5", nodes=4)
    with pytest.raises(FederationError, match=r"3 sites are present \(a, b, c\) after 0 s"):
        run(made)


Change = Callable[[bytearray, MetricRecord], object]


def corrupt(change: Change) -> Alter:
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


def values(number: float) -> Change:
    """The model's last value becomes this one."""
    return lambda blob, _: struct.pack_into("<f", blob, len(blob) - 4, number)


def weight(number: int) -> Change:
    """The answer's own weight, of 36 in total."""
    return lambda blob, _: struct.pack_into("<Q", blob, bytes(blob).index(TOTAL) - 8, number)


TOTAL = struct.pack("<Q", 36)
WRONG: dict[str, tuple[Change, str]] = {
    "nan": (values(math.nan), "holds values that are not finite"),
    "infinite": (values(-math.inf), "not finite"),
    "huge": (values(3e38), "too large for a mean"),
    "short": (lambda b, _: b.pop(), "bytes with a payload of"),
    "long": (lambda b, _: b.extend(bytes(100_000)), "bytes are too many"),
    "empty": (lambda b, _: b.clear(), "0 bytes are too few"),
    "random": (lambda b, _: b.__setitem__(slice(None), b"x" * len(b)), "not a protected message"),
    "no weight": (weight(0), "a weight of 0 of 36 is not possible"),
    "too much weight": (weight(37), "a weight of 37 of 36 is not possible"),
    "no examples": (lambda _, m: m.__setitem__("num-examples", 0), "0 examples; 6 were declared"),
    "epochs": (lambda _, m: m.__setitem__("epochs", 7), "7 epochs; the recipe has local-epochs: 1"),
    "loss": (lambda _, m: m.__setitem__("loss", [1.0, 2.0]), "the answer lacks its parts"),
    "nan loss": (lambda _, m: m.__setitem__("loss", math.nan), "loss of nan"),
    "no metrics": (lambda _, m: m.clear(), "the answer lacks its parts"),
}


@pytest.mark.parametrize(("change", "reason"), WRONG.values(), ids=WRONG)
def test_answers_that_do_not_fit_are_left_out(config: Config, change: Change, reason: str) -> None:
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
    assert "recipe mine differs from the server's (digest" in failure["reason"]


def test_two_nodes_cannot_be_the_same_site(config: Config) -> None:
    made = config(rounds=1)
    network = LoopbackGrid(app, made.values, nodes=3)
    network.contexts[102].node_config["partition-id"] = 0
    play(network, made)
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
    network = LoopbackGrid(app, made.values, nodes=3)
    network.contexts[102].node_config["partition-id"] = 7
    play(network, made)
    assert "has 3 sites; run that many nodes" in events(made, "failure")[0]["reason"]


def test_a_site_that_joins_in_mid_run_takes_part(config: Config) -> None:
    made = config(nodes=2, rounds=2)
    network = LoopbackGrid(app, made.values, nodes=3)
    network.online = {100, 101}
    original = Cohort.register_new_nodes
    rounds: list[int] = []

    def register_new_nodes(self: Cohort, grid: Grid) -> bool:
        rounds.append(1)
        if len(rounds) == 3:  # before round 2
            network.online.add(102)
        return original(self, grid)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Cohort, "register_new_nodes", register_new_nodes)
        play(network, made)
    result = json.loads((made.server / "run.json").read_text())
    assert [sorted(r["sites"]) for r in result["rounds"]] == [["a", "b"], ["a", "b", "c"]]
