"""A run's settings, what is refused before sites are asked, and how far a run is."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from ucadi_flwr.deployment import lastrun
from ucadi_flwr.deployment.kit.kits import ServerKit
from ucadi_flwr.deployment.lastrun import LastRun, RunProgress, summary
from ucadi_flwr.deployment.status import Status, run_line
from ucadi_flwr.deployment.submit import Order, over, prepare, results, started, submit
from ucadi_flwr.errors import FederationError, RecipeError
from ucadi_flwr.processes.progress import Watch
from ucadi_flwr.results.journal import Journal
from ucadi_flwr.results.layout import RunFolder, ServerFolder


@pytest.fixture
def order(tmp_path: Path) -> Order:
    return Order(task="phantom-covid2", strategy="ucadi", out=tmp_path / "out", rounds=2)


def test_the_settings_of_a_deployed_run(kit: Path, order: Order) -> None:
    config, rounds = prepare(ServerKit.load(kit / "server"), order)
    assert rounds == 2
    assert config.server.out == str(order.out)
    assert config.server.context == str(kit / "server" / "server.ctx")
    assert config.server.nodes == 3
    assert config.simulation is None
    assert not {"data", "key"} & config.flat().keys(), "nothing of a simulation is sent to sites"
    plain, rounds = prepare(
        ServerKit.load(kit / "server"), replace(order, strategy="fedavg", rounds=0, sites=2)
    )
    assert plain.server.context == ""
    assert plain.server.nodes == 2
    assert rounds > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "./tasks/a.yaml"}, "sites take recipes by their names"),
        ({"strategy": "a.yaml"}, "sites take recipes by their names"),
        ({"task": "nonsense"}, "unknown task"),
        ({"strategy": "central"}, "no site gives them away"),
        ({"strategy": "fedavg-ckks"}, "this kit is for bfv"),
        ({"sites": 4}, "the kit has 3 sites"),
    ],
)
def test_what_cannot_be_is_refused_at_once(
    kit: Path, order: Order, changes: dict[str, str], message: str
) -> None:
    with pytest.raises((RecipeError, FederationError), match=message):
        prepare(ServerKit.load(kit / "server"), replace(order, **changes))


def test_results_are_not_overwritten(kit: Path, order: Order) -> None:
    (order.out / "server").mkdir(parents=True)
    with pytest.raises(FederationError, match="has a run already"):
        prepare(ServerKit.load(kit / "server"), order)


def test_a_quorum_that_the_kit_cannot_have(plain_kit: Path, order: Order) -> None:
    kit = ServerKit.load(plain_kit / "server")
    with pytest.raises(FederationError, match="this kit is for none"):
        prepare(kit, order)
    prepare(kit, replace(order, strategy="fedavg"))


def test_nothing_is_submitted_where_no_server_ran(kit: Path, order: Order, tmp_path: Path) -> None:
    with pytest.raises(FederationError, match="start ucadi server first"):
        submit(kit / "server", tmp_path / "state", order)
    assert not order.out.exists()


def finished(order: Order) -> tuple[ServerFolder, Watch, Path]:
    folder = RunFolder(order.out)
    folder.server.path.mkdir(parents=True)
    watch = Watch(folder.server.journal, lambda _: None)
    folder.log.write_text("Loading\nSuccessfully started run 123\nthe end\n")
    return folder.server, watch, folder.log


def test_the_files_that_came_of_a_run(order: Order) -> None:
    server, watch, log = finished(order)
    assert not over(server, watch)
    for name in ("run.json", "sealed.safetensors", "other"):
        (server.path / name).touch()
    assert over(server, watch)
    assert [p.name for p in results(server, watch, log)] == ["run.json", "sealed.safetensors"]
    assert started(log) == "123"
    assert started(order.out / "none") == ""


def test_the_number_of_a_resumed_run_is_not_that_of_the_run_before(tmp_path: Path) -> None:
    log = tmp_path / "flower.log"
    log.write_text("Successfully started run 1\n", encoding="utf-8")
    before = log.stat().st_size
    assert started(log, before) == ""
    with log.open("a", encoding="utf-8") as more:
        more.write("Successfully started run 2\n")
    assert started(log, before) == "2"
    log.write_text("Successfully started run 3", encoding="utf-8")  # a new log
    assert started(log, before) == "3"


def test_a_run_that_ended_early_says_why(order: Order) -> None:
    server, watch, log = finished(order)
    with pytest.raises(FederationError, match=r"its process killed\?.* said last: the end"):
        results(server, watch, log)
    Journal(server.journal).stopped("too few sites")
    watch.poll()
    assert over(server, watch)
    with pytest.raises(FederationError, match="the run stopped: too few sites"):
        results(server, watch, log)


EVENTS = [
    {"event": "log", "text": "x"},
    {"event": "gathered", "sites": ["A", "B"]},
    {"event": "failure", "round": 1, "site": "B", "reason": "late"},
    {"event": "round", "round": 1, "rounds": 2, "loss": None},
]


def test_how_far_a_run_is() -> None:
    assert summary([]) == RunProgress()
    found = summary(EVENTS)
    assert found == RunProgress("running", 1, 2, ("A", "B"), "round 1 · B: late")
    assert summary([*EVENTS, {"event": "round", "round": 2, "rounds": 2}]).state == "testing"
    stopped = summary([*EVENTS, {"event": "stopped", "reason": "no quorum"}])
    assert (stopped.state, stopped.last_error) == ("stopped", "no quorum")


def test_the_last_run_is_remembered(tmp_path: Path) -> None:
    run = LastRun("t", "s", str(tmp_path), "5")
    path = tmp_path / "last-run.json"
    assert lastrun.load(path) is None
    lastrun.save(path, run)
    assert lastrun.load(path) == run
    assert lastrun.course(run) == RunProgress()
    run.journal.parent.mkdir()
    run.journal.write_text("\n".join(map(json.dumps, EVENTS)) + '\n{"event": "rou')
    assert lastrun.course(run).round == 1
    assert lastrun.course(replace(run, stopped=True)).state == "stopped"
    (run.journal.parent / "run.json").touch()
    assert lastrun.course(run).state == "finished"
    path.write_text("[]")
    assert lastrun.load(path) is None


def test_the_last_run_in_one_line() -> None:
    run = LastRun("t", "s", "/out", "5")
    found = Status("a:1", "", [], run, RunProgress("running", 1, 2, (), "B: late"))
    assert run_line(found) == "run 5 · t × s · running · round 1/2 · /out · last error: B: late"
    assert run_line(replace(found, run=None)) == "no run was submitted yet"
    assert found.as_dict()["course"]["round"] == 1
