"""What a server that cannot read refuses, what sites refuse, and who is named."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from flwr.app import Array, ConfigRecord, Message
from helpers.federation import SIZES, Config, opened, play, run, same
from helpers.loopback_grid import LoopbackGrid
from safetensors.numpy import load_file

from ucadi_flwr.client_app import app
from ucadi_flwr.errors import DataError, FederationError, ProtectionError
from ucadi_flwr.protection.keys import SiteKey

pytestmark = pytest.mark.usefixtures("no_pauses")

ADAM = "server-optimizer: {name: fedadam, learning-rate: 0.01}"


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
    "random": (lambda b: np.random.default_rng(0).bytes(len(b)), "not a protected message"),
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
    network = LoopbackGrid(app, made.values, nodes=3)
    network.contexts[101].node_config["key"] = str(other)
    play(network, made)
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
    network = LoopbackGrid(app, made.values, nodes=3, alter=changed(101, late))
    with pytest.raises(FederationError) as error:
        play(network, made)
    assert "the sum of round 2 is given up and the model of round 1 stays" in str(error.value)
    assert "does not open as the sum of a, b, c" in str(error.value)
    assert list(opened(made).losses) == [1]
    records = [m.content.array_records for m in network.pushed]
    sums = [of_message["sums"] for of_message in records if of_message.get("sums")]
    assert [set(record) for record in sums] == [{"1.0"}] * 3 + [{"2.0"}] * 3
    good = next(record["1.0"] for record in sums if "1.0" in record).numpy()
    assert (load_file(made.server / "sealed.safetensors")["sum/1.0"] == good).all()


def test_a_sum_that_some_can_open_is_not_given_up(config: Config, tmp_path: Path) -> None:
    """One site lost its key after round 1; what the others opened is right."""
    other = tmp_path / "other.key"
    SiteKey.create("bfv").save(other)
    made = config("ucadi", scheme="bfv", rounds=2)
    network = LoopbackGrid(app, made.values, nodes=3)

    def lose(node: int, message: Message) -> Message:
        config = message.content.config_records.get("config", ConfigRecord())
        if node == 101 and config.get("server-round") == 2:
            network.contexts[node].node_config["key"] = str(other)
        return message

    network.fault = lose
    with pytest.raises(FederationError, match="2 sites answered and min-sites is 3; left out: b:"):
        play(network, made)
    assert list(opened(made).losses) == [1]


def test_a_bad_sum_in_the_last_round_is_found_by_the_test(config: Config) -> None:
    made = config("ucadi", scheme="bfv", rounds=1)
    with pytest.raises(FederationError, match=r"last test: the sum of round 1 is given up"):
        run(made, alter=changed(101, lambda b: flip(b, len(b) - 100)))
    assert not made.folder.server.sealed.exists(), "no good sum is left"


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
    network = LoopbackGrid(app, made.values, nodes=3)
    play(network, made)
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


def test_keys_that_are_missing_or_wrong_are_named(config: Config) -> None:
    with pytest.raises(ProtectionError, match="encrypts and the server has no context"):
        run(config("ucadi"))
    made = config("ucadi", scheme="bfv")
    with pytest.raises(ProtectionError, match="is a site's secret key; a server must never hold"):
        run(made.changed(context=made.key))
    with pytest.raises(ProtectionError, match="is for bfv; strategy fedavg-ckks needs ckks"):
        run(config("fedavg-ckks", scheme="bfv"))
    with pytest.raises(FederationError, match='start its node with key="FILE"'):
        run(made.changed(key=""))
    ckks = config("fedavg-ckks", scheme="ckks")
    with pytest.raises(FederationError, match="is a key for ckks; the strategy needs bfv"):
        run(made.changed(key=ckks.key))


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
    made = made.changed(**changes)
    settings = made.values
    network = LoopbackGrid(app, settings, nodes=3)
    for context, site in zip(network.contexts.values(), SIZES, strict=True):
        context.node_config = {
            **{"site": site, "data-dir": str(data / site), "key": simulated.key, "threads": 1},
            "cache-dir": str(made.cell / "caches" / site),
            "memory-dir": str(made.cell / "memories" / site),
        }
    play(network, made)
    deployed = opened(made.changed(key=simulated.key)).state
    assert same(deployed, opened(simulated).state)
    assert not (made.cell / "predictions").exists()
    network.contexts[101].node_config["data-dir"] = str(data)
    again = next(m for m in network.pushed if m.metadata.message_type == "query")
    with pytest.raises(DataError, match=r"has 3 sites \(a, b, c\); a node is one site"):
        app(again, network.contexts[101])
    network.contexts[101].run_config = {**settings, "task": simulated.task}
    with pytest.raises(FederationError, match="takes recipes by their names"):
        app(again, network.contexts[101])
