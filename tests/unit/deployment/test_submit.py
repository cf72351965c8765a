"""A run's settings, what is refused before the sites get it, and how far a run is."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ucadi_flwr.deployment import last_run
from ucadi_flwr.deployment.kit.kits import ServerKit
from ucadi_flwr.deployment.last_run import LastRun, RunProgress, summarise
from ucadi_flwr.deployment.status import FederationStatus, run_line
from ucadi_flwr.deployment.submit import (
    RunRequest,
    has_ended,
    prepare_run,
    result_files,
    run_number,
    submit_run,
)
from ucadi_flwr.errors import FederationError, RecipeError
from ucadi_flwr.processes.progress import JournalWatch
from ucadi_flwr.results.journal import Journal
from ucadi_flwr.results.layout import RunFolder, ServerFolder


@pytest.fixture
def run_request(tmp_path: Path) -> RunRequest:
    return RunRequest(task="phantom-covid2", strategy="ucadi", out=tmp_path / "out", rounds=2)


def test_the_settings_of_a_deployed_run(kit: Path, run_request: RunRequest) -> None:
    config, rounds = prepare_run(ServerKit.load(kit / "server"), run_request)
    assert rounds == 2
    assert config.server.out == str(run_request.out)
    assert config.server.context == str(kit / "server" / "server.ctx")
    assert config.server.nodes == 3
    assert config.simulation is None
    assert not {"data", "key"} & config.flat().keys(), "nothing of a simulation is sent to sites"
    plain, rounds = prepare_run(
        ServerKit.load(kit / "server"), replace(run_request, strategy="fedavg", rounds=0, sites=2)
    )
    assert plain.server.context == ""
    assert plain.server.nodes == 2
    assert rounds > 0


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"task": "./tasks/a.yaml"}, "sites load recipes by name"),
        ({"strategy": "a.yaml"}, "sites load recipes by name"),
        ({"task": "nonsense"}, "unknown task"),
        ({"strategy": "central"}, "images, which never leave a site"),
        ({"strategy": "fedavg-ckks"}, "this kit is for bfv"),
        ({"sites": 4}, "the kit has 3 sites"),
    ],
)
def test_a_run_that_cannot_work_is_refused_at_once(
    kit: Path, run_request: RunRequest, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises((RecipeError, FederationError), match=message):
        prepare_run(ServerKit.load(kit / "server"), replace(run_request, **changes))


def test_results_are_not_overwritten(kit: Path, run_request: RunRequest) -> None:
    (run_request.out / "server").mkdir(parents=True)
    with pytest.raises(FederationError, match="has a run already"):
        prepare_run(ServerKit.load(kit / "server"), run_request)


def test_a_scheme_that_is_not_the_kit_s(plain_kit: Path, run_request: RunRequest) -> None:
    kit = ServerKit.load(plain_kit / "server")
    with pytest.raises(FederationError, match="this kit is for none"):
        prepare_run(kit, run_request)
    prepare_run(kit, replace(run_request, strategy="fedavg"))


def test_nothing_is_submitted_where_no_server_was_started(
    kit: Path, run_request: RunRequest, tmp_path: Path
) -> None:
    with pytest.raises(FederationError, match="start ucadi server first"):
        submit_run(kit / "server", tmp_path / "state", run_request)
    assert not run_request.out.exists()


def write_log(run_request: RunRequest) -> tuple[ServerFolder, JournalWatch, Path]:
    """The server's folder, the journal's watch and the log of a run that Flower ended."""
    folder = RunFolder(run_request.out)
    folder.server.path.mkdir(parents=True)
    watch = JournalWatch(folder.server.journal, lambda _: None)
    folder.log.write_text("Loading\nSuccessfully started run 123\nthe end\n")
    return folder.server, watch, folder.log


def test_the_files_of_a_finished_run(run_request: RunRequest) -> None:
    server, watch, log = write_log(run_request)
    assert not has_ended(server, watch)
    for name in ("run.json", "sealed.safetensors", "other"):
        (server.path / name).touch()
    assert has_ended(server, watch)
    assert [p.name for p in result_files(server, watch, log)] == ["run.json", "sealed.safetensors"]
    assert run_number(log) == "123"
    assert run_number(run_request.out / "none") == ""


def test_the_number_of_a_resumed_run_is_not_that_of_the_run_before(tmp_path: Path) -> None:
    log = tmp_path / "flower.log"
    log.write_text("Successfully started run 1\n", encoding="utf-8")
    before = log.stat().st_size
    assert run_number(log, before) == ""
    with log.open("a", encoding="utf-8") as more:
        more.write("Successfully started run 2\n")
    assert run_number(log, before) == "2"
    log.write_text("Successfully started run 3", encoding="utf-8")  # a new log
    assert run_number(log, before) == "3"


def test_a_run_that_ended_early_is_an_error_with_the_reason(run_request: RunRequest) -> None:
    server, watch, log = write_log(run_request)
    with pytest.raises(FederationError, match=r"its process killed\?.* last output: the end"):
        result_files(server, watch, log)
    Journal(server.journal).stopped("too few sites")
    watch.poll()
    assert has_ended(server, watch)
    with pytest.raises(FederationError, match="the run stopped: too few sites"):
        result_files(server, watch, log)


EVENTS: list[dict[str, Any]] = [
    {"event": "log", "text": "x"},
    {"event": "gathered", "sites": ["A", "B"]},
    {"event": "failure", "round": 1, "site": "B", "reason": "late"},
    {"event": "round", "round": 1, "rounds": 2, "loss": None},
]


def test_how_far_a_run_is() -> None:
    assert summarise([]) == RunProgress()
    progress = summarise(EVENTS)
    assert progress == RunProgress("running", 1, 2, ("A", "B"), "round 1 · B: late")
    assert summarise([*EVENTS, {"event": "round", "round": 2, "rounds": 2}]).state == "testing"
    stopped = summarise([*EVENTS, {"event": "stopped", "reason": "no quorum"}])
    assert (stopped.state, stopped.last_error) == ("stopped", "no quorum")


def test_the_last_run_is_saved_with_its_progress(tmp_path: Path) -> None:
    run = LastRun("t", "s", str(tmp_path), "5")
    path = tmp_path / "last-run.json"
    assert last_run.load(path) is None
    last_run.save(path, run)
    assert last_run.load(path) == run
    assert last_run.read_progress(run) == RunProgress()
    run.journal.parent.mkdir()
    run.journal.write_text("\n".join(map(json.dumps, EVENTS)) + '\n{"event": "rou')
    assert last_run.read_progress(run).round == 1
    assert last_run.read_progress(replace(run, stopped=True)).state == "stopped"
    (run.journal.parent / "run.json").touch()
    assert last_run.read_progress(run).state == "finished"
    path.write_text("[]")
    assert last_run.load(path) is None


def test_the_last_run_in_one_line() -> None:
    run = LastRun("t", "s", "/out", "5")
    status = FederationStatus("a:1", "", [], run, RunProgress("running", 1, 2, (), "B: late"))
    assert run_line(status) == "run 5 · t × s · running · round 1/2 · /out · last error: B: late"
    assert run_line(replace(status, run=None)) == "no run was submitted yet"
    assert status.as_dict()["course"]["round"] == 1
