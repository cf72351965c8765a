"""TensorBoard's event files, read back; and the error if it is not installed."""

import sys
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from helpers.near import near
from helpers.small_results import fair_results
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from ucadi_flwr.errors import DataError
from ucadi_flwr.report.events import write_events
from ucadi_flwr.results.experiment import Results, write_results


def read(folder: Path) -> dict[str, list[tuple[int, float]]]:
    events = EventAccumulator(str(folder))
    events.Reload()
    return {
        tag: [(event.step, event.value) for event in events.Scalars(tag)]
        for tag in events.Tags()["scalars"]
    }


@pytest.fixture
def dated() -> Results:
    results = fair_results(["local", "fedavg"], ["a", "b c"], own=True)
    return results.model_copy(update={"created": "2026-01-02T03:04:05+00:00"})


def test_every_finished_run_is_written_and_read_back(dated: Results, tmp_path: Path) -> None:
    broken = dated.cells[1].model_copy(update={"error": "no", "seed": 1})
    write_events(dated.model_copy(update={"cells": [*dated.cells, broken]}), tmp_path / "new")
    runs = {str(path.parent.relative_to(tmp_path / "new")) for path in tmp_path.rglob("events*")}
    assert runs == {"local/seed0", "fedavg/seed0"}
    cell = dated.cells[1]
    values = read(tmp_path / "new" / "fedavg" / "seed0")
    rounds = cell.rounds
    assert values["loss/mean"] == [(r.round, near(r.loss)) for r in rounds]
    assert values["loss/a"] == [(r.round, near(r.sites["a"].loss)) for r in rounds]
    assert values["bytes/up"] == [(r.round, r.bytes_up) for r in rounds]
    assert values["bytes/down"] == [(r.round, r.bytes_down) for r in rounds]
    assert values["seconds/round"] == [(r.round, near(r.seconds)) for r in rounds]
    assert {tag for tag in values if tag.startswith("seconds/")} == {
        *("seconds/round", "seconds/training", "seconds/protection", "seconds/adding")
    }
    tests = {tag for tag in values if tag.startswith("test-auc")}
    assert len(tests) == sum(len(model.test) for model in cell.models)
    assert all(values[tag] == [(rounds[-1].round, 0.875)] for tag in tests)


def test_wall_times_follow_the_seconds_of_the_rounds(dated: Results, tmp_path: Path) -> None:
    write_events(dated, tmp_path)
    events = EventAccumulator(str(tmp_path / "fedavg" / "seed0"))
    events.Reload()
    times = [event.wall_time for event in events.Scalars("bytes/up")]
    seconds = [record.seconds for record in dated.cells[1].rounds]
    assert [b - a for a, b in pairwise(times)] == pytest.approx(seconds[1:])


def test_losses_that_the_server_does_not_know_are_left_out(dated: Results, tmp_path: Path) -> None:
    cell = dated.cells[1]
    silent = [
        replace(
            record,
            loss=None,
            sites={site: replace(work, loss=None) for site, work in record.sites.items()},
        )
        for record in cell.rounds
    ]
    cells = [cell.model_copy(update={"rounds": silent})]
    write_events(dated.model_copy(update={"cells": cells}), tmp_path)
    values = read(tmp_path / "fedavg" / "seed0")
    assert not any(tag.startswith("loss") for tag in values)
    assert "bytes/up" in values


def test_a_folder_that_is_not_empty_is_refused(dated: Results, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("mine")
    for folder in (tmp_path, tmp_path / "note.txt"):
        with pytest.raises(DataError, match="is not an empty folder"):
            write_events(dated, folder)
    assert [path.name for path in tmp_path.iterdir()] == ["note.txt"]


def test_without_tensorboard_the_error_says_what_to_install(
    dated: Results,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from ucadi_flwr.cli import main

    write_results(tmp_path / "results.json", dated)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    arguments = ["ucadi", "report", str(tmp_path), "--tensorboard", str(tmp_path / "events")]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert capsys.readouterr().err == (
        "error: TensorBoard is not installed: pip install ucadi-flwr[tensorboard]\n"
    )
    assert [path.name for path in tmp_path.iterdir()] == ["results.json"]
