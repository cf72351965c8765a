"""What ``run_sim.py`` refuses: one line of text, and no files."""

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import dicom_factory, tiny
from helpers.dicom_factory import truncate
from helpers.engine_runs import SIZES

import run_sim
from ucadi_flwr.simulation.engine import Engine


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--rounds", "0"], "--rounds 0: must be at least 1"),
        (["--rounds", "many"], "argument --rounds: invalid int value: 'many'"),
        (["--local-epochs", "-1"], "--local-epochs -1: must be at least 1"),
        (["--sites", "0"], "--sites 0: must be at least 1"),
        (["--seeds", "-1"], "--seeds -1: a seed is 0 or more"),
        (["--seeds", "1", "1"], "--seeds: 1 appears twice"),
        (["--data", "nowhere"], "nowhere: no such data folder"),
        (["--strategy", "fedavg", "fedavg"], "--strategy: fedavg appears twice"),
        (["--strategy", "best"], "unknown strategy 'best': choose from central, fedadam"),
        (["--task", "lungs"], "unknown task 'lungs'"),
        (["--task", "ct-covid4"], "name its images with --data"),
        (["--set", "x.y=1"], "--set x.y: no task or strategy recipe has this key"),
        (["--set", "training.epochs"], "write KEY=VALUE"),
        (["--set", "training.epochs=[1"], "--set training.epochs, line 1: "),
        (["--set", "training.epochs=0"], "training.epochs: Input should be greater"),
        (["--sites", "1"], "needs min-sites: 2"),
        (["--wrong"], "unrecognized arguments: --wrong"),
    ],
)
def test_wrong_flags_give_one_line_and_no_files(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    defaults = {"--task": "phantom-covid2", "--strategy": "fedavg", "--out": str(tmp_path / "out")}
    more = [w for flag, value in defaults.items() if flag not in words for w in (flag, value)]
    with pytest.raises(SystemExit) as ended:
        run_sim.main([*more, *words])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def edit(site: Path, old: str, new: str) -> None:
    path = site / "manifest.csv"
    path.write_text(path.read_text().replace(old, new))


def write_truncated_series(site: Path, name: str) -> None:
    """Replace a NIfTI file by a DICOM series with one truncated file."""
    (site / "images" / f"{name}.nii.gz").unlink()
    dicom_factory.write_series(site / "images" / name)
    truncate(next((site / "images" / name).iterdir()), 0.98)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda site: truncate(site / "images" / "c3.nii.gz", 0.5), "c3.nii.gz: not readable"),
        (lambda site: (site / "images" / "c3.nii.gz").write_bytes(b"hello"), "c3.nii.gz: not re"),
        (lambda site: (site / "images" / "c3.nii.gz").unlink(), "manifest.csv"),
        (lambda site: edit(site, "left", "unclear"), "unclear"),
        (lambda site: edit(site, "c3,", "c2,"), "c2"),
        (lambda site: edit(site, "right", "left"), "site a has images of one class only (left)"),
        (lambda site: edit(site, "patient", "patient_name"), "patient_name"),
        (lambda site: (site / "manifest.csv").write_text("name,label,patient\n"), "manifest.csv"),
        (
            lambda site: write_truncated_series(site, "c3"),
            "is cut short or does not decode; take it out",
        ),
    ],
)
def test_wrong_data_give_one_line_and_no_files(
    change: Callable[[Path], object],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    task, data = tiny.write_task(tmp_path), tiny.write_sites(tmp_path / "data", SIZES)
    change(data / "a")
    words = ("--task", task, "--data", data, "--strategy", "fedavg", "--out", tmp_path / "out")
    with pytest.raises(SystemExit) as ended:
        run_sim.main(list(map(str, words)))
    assert ended.value.code == 2
    *notes, error = capsys.readouterr().err.splitlines()
    assert error.startswith("error: ")
    assert message in error
    assert notes in ([], ["reading the images …"])
    assert not (tmp_path / "out").exists()


def test_readers_of_other_cases_are_refused_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    readers = tmp_path / "readers.csv"
    readers.write_text("case,reader,call\nelsewhere,R1,yes\n")
    data = tiny.write_sites(tmp_path / "data", {"a": 12})
    words = ["--task", tiny.write_task(tmp_path), "--data", data, "--strategy", "local"]
    words += ["--readers", readers, "--out", tmp_path / "out"]
    with pytest.raises(SystemExit) as ended:
        run_sim.main(list(map(str, words)))
    assert ended.value.code == 2
    assert "no such test case: line 2 ('elsewhere')" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_if_every_cell_fails_the_first_error_is_printed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With an engine that does nothing; in test_simulation.py a cell fails on the real one."""

    class IdleEngine(Engine):
        def _start_superlink(self) -> None:
            pass

        def run(self, *args: object) -> int:
            return 1

    monkeypatch.setattr("ucadi_flwr.simulation.grid.Engine", IdleEngine)
    words = ["--task", tiny.write_task(tmp_path), "--data", tiny.write_sites(tmp_path / "d", SIZES)]
    with pytest.raises(SystemExit) as ended:
        run_sim.main([*map(str, words), "--strategy", "fedavg", "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    assert "every run failed, the first with: Flower ended without" in capsys.readouterr().err
    assert (tmp_path / "out" / "report.html").is_file()
