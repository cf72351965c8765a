"""A federation of ucadi's commands: a server, three sites over TLS, and a node that is killed."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from helpers.deployment import SECONDS, Federation
from helpers.federation import SIZES, configs, run, same

from ucadi_flwr.deployment.control import Control
from ucadi_flwr.exchange.sealed_run import open_sealed
from ucadi_flwr.protection.keys import SiteKey
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def federation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Federation]:
    """The server and its three sites, online."""
    federation = Federation(tmp_path_factory.mktemp("deploy"))
    try:
        federation.start_server()
        federation.start_sites()
        yield federation
    finally:
        federation.close()


@pytest.mark.timeout(900)
def test_a_run_gives_the_model_of_the_simulation(
    federation: Federation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = federation.folder / "out"
    words = ("--task", "tiny", "--strategy", "ucadi", "--rounds", 3, "--out", out)
    begin = time.monotonic()
    submit = federation.start(
        "submit", "submit", federation.kit / "server", *words, "--state", federation.state.folder
    )
    assert submit.wait(SECONDS) == 0, federation.output("submit")
    del federation.processes["submit"]
    print(f"three rounds took {time.monotonic() - begin:.0f} s")
    assert "round 3/3" in federation.output("submit")
    assert str(out / "server" / "sealed.safetensors") in federation.output("submit")
    status = federation.status()
    assert status["course"]["state"] == "finished"
    assert status["course"]["round"] == 3
    assert {site["site"]: site["status"] for site in status["sites"]} == dict.fromkeys(
        SIZES, "online"
    )
    key = SiteKey.load(federation.kit / "a" / "encryption.key")
    task = loader.load(TaskRecipe, str(federation.task))
    strategy = loader.load(StrategyRecipe, "ucadi")
    deployed = open_sealed(out / "server" / "sealed.safetensors", task, strategy, key)
    monkeypatch.setattr("ucadi_flwr.server.replies.POLL_SECONDS", 0.001)
    simulated = configs(tmp_path, federation.data)("ucadi", scheme="bfv", rounds=3)
    run(simulated)
    other_key = SiteKey.load(Path(simulated.key))
    expected = open_sealed(simulated.server / "sealed.safetensors", task, strategy, other_key)
    assert same(deployed.state, expected.state)
    assert deployed.losses == expected.losses


@pytest.mark.timeout(600)
def test_a_killed_node_is_started_again_as_the_same_node(federation: Federation) -> None:
    before = federation.output("b")
    node = before.split("online as node ")[1].split()[0]
    begin = time.monotonic()
    federation.supernode("b").kill()
    federation.until(lambda: f"online as node {node}" in federation.output("b")[len(before) :])
    print(f"online again after {time.monotonic() - begin:.0f} s")
    assert "killed by signal 9; again in 1 s" in federation.output("b")
    assert Control(federation.state).nodes()[node].status == "online"


@pytest.mark.timeout(300)
def test_a_stopped_command_leaves_no_process(federation: Federation) -> None:
    for name in ("c", "server"):
        process = federation.processes.pop(name)
        descendants = psutil.Process(process.pid).children(recursive=True)
        assert descendants
        process.terminate()
        assert process.wait(60) == 0, federation.output(name)
        assert not [p for p in descendants if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]
    assert "stopping" in federation.output("c")
    assert federation.status()["problem"]


@pytest.mark.timeout(300)
def test_no_log_contains_a_secret(federation: Federation) -> None:
    secret = json.loads((federation.kit / "a" / "encryption.key").read_text())["secret"]
    node_keys = [(federation.kit / n / "node.key").read_text().splitlines()[2] for n in SIZES]
    logs = [*federation.folder.rglob("*.out"), *federation.folder.rglob("*.log")]
    assert {"superlink.log", "server.out"} < {log.name for log in logs}
    assert sum(log.name == "supernode.log" for log in logs) == len(SIZES)
    for log in logs:
        text = log.read_text(encoding="utf-8", errors="replace")
        assert not [s for s in (secret[:40], *node_keys) if s in text], log
    assert oct(federation.state.folder.stat().st_mode)[-3:] == "700"
