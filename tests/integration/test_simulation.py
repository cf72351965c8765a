"""run_sim.py on Flower's real engine: files, exactness, errors, and nothing left behind."""

import contextlib
import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil
import pytest
from helpers import dicom_factory, federation, tiny
from helpers.dicom_factory import truncate
from helpers.federation import LocalRun, play
from helpers.loopback_grid import LoopbackGrid
from safetensors.numpy import load_file

import run_sim
from ucadi_flwr.client_app import app
from ucadi_flwr.exchange.sealed_run import open_sealed
from ucadi_flwr.protection.keys import SiteKey
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe
from ucadi_flwr.results.experiment import read_results
from ucadi_flwr.simulation.engine import MARK, Engine

ROOT = Path(__file__).resolve().parents[2]
SIZES = {"a": 12, "b": 8}
TMP = Path("/tmp")  # noqa: S108 - where engines live


def engine_processes(owner: int) -> set[int]:
    """Processes of the engine that this process started: its home is in their environment or files.

    Ray's workers overwrite their environment with their title, but keep their logs open.
    """
    found = set()
    for process in psutil.process_iter():
        try:
            folder = Path("/proc") / str(process.pid) / "fd"
            files = [str(link.readlink()) for link in folder.iterdir()]
            if any(
                f"/ucadi-engine-{owner}-" in text for text in (*process.environ().values(), *files)
            ):
                found.add(process.pid)
        except (psutil.Error, OSError):
            continue
    return found


def listen_to_ctrl_c() -> None:
    """A shell starts what it runs in the background deaf to SIGINT, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One experiment with every cohort; the folder that it wrote."""
    folder = tmp_path_factory.mktemp("experiment")
    tiny.write_sites(folder / "data", SIZES)
    words = ["--task", tiny.write_task(folder), "--data", folder / "data", "--rounds", "1"]
    doomed = folder / "doomed.yaml"
    text = "schema_version: 1\nname: doomed\nsummary: too hasty\nround-timeout: 0.01\n"
    doomed.write_text(text, encoding="utf-8")
    words += ["--strategy", "fedavg", doomed, "local", "central", "--out", folder / "out"]
    words += ["--set", "training.batch-size=8", "min-sites=1"]
    (folder / "words").write_text(json.dumps(list(map(str, words))))
    said, told = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(told):
        assert run_sim.main(list(map(str, words))) == 0
    assert said.getvalue() == f"report: {folder / 'out' / 'report.html'}\n"
    assert not engine_processes(os.getpid())
    for word in ("fedavg · seed 0", "round 1/1", "loss"):
        assert word in told.getvalue()
    return folder


@pytest.mark.slow
def test_results_say_what_the_files_hold(experiment: Path) -> None:
    out = experiment / "out"
    results = read_results(out / "results.json")
    cells = [c for c in results.cells if c.strategy.name != "doomed"]
    assert [c.strategy.name for c in cells] == ["fedavg", "local", "central"]
    assert results.schema_version == 1
    assert results.sites["a"].train == {"left": 4, "right": 4}
    trained = {c.strategy.name: [m.trained_at for m in c.models] for c in cells}
    assert trained == {"fedavg": ["all"], "local": ["a", "b"], "central": ["all"]}
    for cell in cells:
        assert cell.error is None
        assert cell.seconds > 0
        assert len(cell.rounds) == 1
        for model in cell.models:
            assert (out / model.file).is_file()
            assert {site: f.n for site, f in model.test.items()} == {"a": 4, "b": 2}
            for figures in model.test.values():
                assert sum(map(sum, figures.confusion)) == figures.n
    assert (out / "report.html").is_file()
    assert not (out / "cache").exists()
    assert {p.name for p in (out / "recipes").iterdir()} == {
        *("task.yaml", "strategy-fedavg.yaml", "strategy-local.yaml", "strategy-central.yaml"),
        "strategy-doomed.yaml",
    }
    assert "batch-size: 8" in (out / "recipes" / "task.yaml").read_text()


@pytest.mark.slow
def test_a_cell_that_fails_is_reported_and_the_others_go_on(experiment: Path) -> None:
    (cell,) = (
        c
        for c in read_results(experiment / "out" / "results.json").cells
        if c.strategy.name == "doomed"
    )
    assert cell.error is not None
    assert "0 sites answered and min-sites is 1" in cell.error
    late = r"a: (no answer within 0 s|the message could not be sent)"  # or expired before it left
    assert re.search(late, cell.error)
    assert cell.models == []
    assert "0 sites answered" in (experiment / "out" / "report.html").read_text()


def test_if_every_cell_fails_the_first_error_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With an engine that does nothing: the real one fails in the test above."""

    class Idle(Engine):
        def _start_superlink(self) -> None:
            pass

        def run(self, *args: object) -> int:
            return 1

    monkeypatch.setattr("ucadi_flwr.simulation.grid.Engine", Idle)
    words = ["--task", tiny.write_task(tmp_path), "--data", tiny.write_sites(tmp_path / "d", SIZES)]
    with pytest.raises(SystemExit) as ended:
        run_sim.main([*map(str, words), "--strategy", "fedavg", "--out", str(tmp_path / "out")])
    assert ended.value.code == 2
    assert "every run failed, the first with: Flower ended without" in capsys.readouterr().err
    assert (tmp_path / "out" / "report.html").is_file()


@pytest.mark.slow
def test_the_engine_s_model_is_the_loopback_s_bit_for_bit(experiment: Path) -> None:
    """Other processes, another order of answers, the same bits."""
    out = experiment / "out"
    config = LocalRun({
        "task": str(out / "recipes" / "task.yaml"),
        "strategy": str(out / "recipes" / "strategy-fedavg.yaml"),
        "data": str(experiment / "data"),
        "sites": 0, "nodes": 2, "rounds": 1, "seed": 0, "name": "x",
        "out": str(experiment / "again"),
        "threads": max(1, len(os.sched_getaffinity(0)) // 2), "context": "", "key": "",
        "bandwidth": 0,
        "holdout": "", "folds": 0, "fold": 0, "initial": "", "resume": False,
    })  # fmt: skip
    network = LoopbackGrid(app, config.values, 2, order=lambda replies: replies[::-1])
    play(network, config)
    there = load_file(out / "fedavg" / "seed0" / "server" / "model.safetensors")
    here = load_file(config.server / "model.safetensors")
    assert all(np.array_equal(there[name], here[name]) for name in there)
    exact = read_results(out / "results.json").cells[0].models[0].test
    counted = json.loads((config.server / "run.json").read_text())["models"][0]["test"]
    for site, figures in exact.items():
        assert counted[site]["confusion"] == figures.confusion


@pytest.mark.slow
def test_a_grid_goes_on_with_the_runs_that_it_lacks(experiment: Path, tmp_path: Path) -> None:
    """The failed run is tried again, and the others are kept."""
    out = tmp_path / "out"
    shutil.copytree(experiment / "out", out)
    words = json.loads((experiment / "words").read_text())
    words[words.index("--out") + 1] = str(out)
    before = {
        path: path.stat().st_mtime_ns for path in out.glob("[flc]*/seed0/**/model*.safetensors")
    }
    assert len(before) == 4
    told = io.StringIO()
    with contextlib.redirect_stderr(told):
        assert run_sim.main([*words, "--resume"]) == 0
    assert "doomed · seed 0 · starting" in told.getvalue()
    assert "fedavg · seed 0 · starting" not in told.getvalue()
    assert {path: path.stat().st_mtime_ns for path in before} == before
    cells = read_results(out / "results.json").cells
    assert [c.strategy.name for c in cells] == ["fedavg", "doomed", "local", "central"]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ([], "holds results already; add --resume"),
        (["--resume", "--set", "training.epochs=3"], "is of task tiny as it was then"),
        (["--resume", "--set", "wait-for-sites=7"], "strategy fedavg was another recipe then"),
        (["--resume", "--rounds", "2"], "strategy fedavg was another recipe then, or had 1 rounds"),
        (["--resume", "--strategy", "fedavg"], "holds doomed with seed 0 too"),
    ],
)
@pytest.mark.slow
def test_an_experiment_that_became_another_is_not_resumed(
    experiment: Path, extra: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run_sim.main([*json.loads((experiment / "words").read_text()), *extra])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.slow
def test_hold_outs_and_folds(tmp_path: Path) -> None:
    """A site that never trains, and the fold that validates best; tested once."""
    data = tiny.write_sites(tmp_path / "data", {"a": 16, "b": 16, "c": 8})
    words = ["--task", tiny.write_task(tmp_path), "--data", data, "--rounds", "1"]
    words += ["--strategy", "fedavg", "central", "--set", "min-sites=1", "--hold-out", "c"]
    words += ["--folds", "2", "--out", tmp_path / "out"]
    assert run_sim.main(list(map(str, words))) == 0
    results = read_results(tmp_path / "out" / "results.json")
    assert results.held_out == ["c"]
    assert results.sites["c"].train == {}
    assert sum(results.sites["c"].test.values()) == 8
    for cell in results.cells:
        assert cell.error is None
        assert set(cell.rounds[0].sites) == (
            {"all"} if cell.strategy.name == "central" else {"a", "b"}
        )
        assert [fold.fold for fold in cell.folds] == [1, 2]
        chosen = max(cell.folds, key=lambda fold: fold.score)
        assert chosen.chosen
        (model,) = cell.models
        assert (
            model.file == f"{cell.strategy.name}/seed0/fold{chosen.fold}/server/model.safetensors"
        )
        assert {site: f.n for site, f in model.test.items()} == {"a": 4, "b": 4, "c": 8}
        assert set(chosen.validation) == {"a", "b"}
        folder = tmp_path / "out" / cell.strategy.name / "seed0"
        for kept in ("predictions", "features"):
            assert {p.stem for p in (folder / kept / "all").iterdir()} == {"a", "b", "c"}
        assert not (folder / "fold1" / "features").exists()  # those are of no test
        validated = (folder / "fold1" / "predictions" / "all" / "a.csv").read_text().splitlines()
        tested = (folder / "predictions" / "all" / "a.csv").read_text().splitlines()
        assert not {line.split(",")[0] for line in validated[1:]} & {
            line.split(",")[0] for line in tested[1:]
        }


@pytest.mark.slow
def test_an_encrypted_cell_is_opened_by_the_experiment_alone(tmp_path: Path) -> None:
    """On the engine; the same bits as over the loopback, with another key."""
    data = tiny.write_sites(tmp_path / "data", {"a": 12, "b": 8, "c": 8})
    words = ["--task", tiny.write_task(tmp_path), "--data", data, "--rounds", "2"]
    words += ["--strategy", "ucadi", "--out", tmp_path / "out", "--bandwidth", "900KB/s"]
    told = io.StringIO()
    with contextlib.redirect_stderr(told):
        assert run_sim.main(list(map(str, words))) == 0
    for part in ("MB up and", "s of protection (bfv)", "at 900 KB/s", "round 2/2"):
        assert part in " ".join(told.getvalue().split())
    cell = tmp_path / "out" / "ucadi" / "seed0"
    (found,) = read_results(tmp_path / "out" / "results.json").cells
    assert found.error is None
    assert [record.loss is not None for record in found.rounds] == [True, True]
    assert all(s.examples is None for record in found.rounds for s in record.sites.values())
    assert found.models[0].file == "ucadi/seed0/model.safetensors"
    assert set(found.models[0].test) == {"a", "b", "c"}
    assert {p.name for p in (cell / "server").iterdir()} == {
        *("journal.jsonl", "lock", "run.json", "sealed.safetensors")
    }
    opened = load_file(cell / "model.safetensors")
    server = b"".join(p.read_bytes() for p in (cell / "server").iterdir())
    server += (cell / "flower.log").read_bytes()
    assert not any(v.tobytes() in server for v in opened.values() if v.nbytes >= 64 and v.any())
    assert not list((tmp_path / "out").rglob("*.key"))
    config = federation.configs(tmp_path, data)("ucadi", scheme="bfv")
    federation.run(config)
    recipe = loader.load(StrategyRecipe, "ucadi")
    task = loader.load(TaskRecipe, config.task)
    key = SiteKey.load(Path(config.key))
    here = open_sealed(config.server / "sealed.safetensors", task, recipe, key).state
    assert all(np.array_equal(opened[name], values) for name, values in here.items())


@pytest.mark.slow
def test_the_report_can_be_written_again(experiment: Path) -> None:
    page = experiment / "out" / "report.html"
    before = page.read_bytes()
    page.unlink()
    command = [str(Path(sys.executable).parent / "ucadi"), "report", str(experiment / "out")]
    for name in ("analysis.json", "tables/figures.csv", "figures/roc.svg"):
        (experiment / "out" / name).unlink()
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert (done.returncode, done.stdout) == (0, f"report: {page}\n")
    assert page.read_bytes() == before
    for name in ("analysis.json", "tables/figures.csv", "figures/roc.svg"):
        assert (experiment / "out" / name).is_file()


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


@pytest.mark.slow
@pytest.mark.parametrize(("sign", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_an_ended_run_leaves_no_process_behind(tmp_path: Path, sign: int, status: int) -> None:
    """In mid-run, by SIGTERM or Ctrl-C."""
    tiny.write_sites(tmp_path / "data", SIZES)
    words = ["--task", tiny.write_task(tmp_path), "--data", tmp_path / "data", "--rounds", "500"]
    words += ["--strategy", "fedavg", "--out", tmp_path / "out"]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "run_sim.py"), *map(str, words)],
        stderr=subprocess.DEVNULL,
        preexec_fn=listen_to_ctrl_c,
    )
    journal = tmp_path / "out" / "fedavg" / "seed0" / "server" / "journal.jsonl"
    wait_for(lambda: journal.is_file() and '"round"' in journal.read_text(), process)
    assert len(engine_processes(process.pid)) >= 3
    process.send_signal(sign)
    assert process.wait(100) == status
    assert not engine_processes(process.pid)
    assert not (tmp_path / "out" / "cache").exists()
    assert not (tmp_path / "out" / "report.html").exists()


@pytest.mark.slow
def test_a_killed_run_is_cleared_away_and_gone_on_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """kill -9 in mid-run, encrypted: the same model as without, to the bit."""
    tiny.write_sites(tmp_path / "data", federation.SIZES)
    words = ["--task", tiny.write_task(tmp_path), "--data", tmp_path / "data", "--rounds", "8"]
    words += ["--strategy", "ucadi", "--out", tmp_path / "out"]
    command = [sys.executable, str(ROOT / "run_sim.py"), *map(str, words)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    cell = tmp_path / "out" / "ucadi" / "seed0"
    journal = cell / "server" / "journal.jsonl"
    wait_for(lambda: journal.is_file() and '"round": 2, "rounds"' in journal.read_text(), process)
    for number in engine_processes(process.pid):
        os.kill(number, signal.SIGSTOP)  # or they finish the run while we look
    with Engine():  # lets that of a living experiment be
        assert len(engine_processes(process.pid)) >= 3
    process.kill()
    process.wait()
    assert list(TMP.glob(f"{MARK}{process.pid}-*"))
    subprocess.run([*command, "--resume"], check=True)
    assert not engine_processes(process.pid)
    assert not list(TMP.glob(f"{MARK}{process.pid}-*"))
    assert '"event": "resumed"' in journal.read_text()
    assert not list(cell.rglob("*.key"))
    monkeypatch.setattr("ucadi_flwr.server.cohort.POLL_SECONDS", 0.001)
    whole = federation.configs(tmp_path, tmp_path / "data")("ucadi", scheme="bfv", rounds=8)
    federation.run(whole)
    task, recipe = loader.load(TaskRecipe, whole.task), loader.load(StrategyRecipe, "ucadi")
    expected = open_sealed(
        whole.server / "sealed.safetensors", task, recipe, SiteKey.load(Path(whole.key))
    ).state
    found = load_file(cell / "model.safetensors")
    assert all(np.array_equal(found[name], values) for name, values in expected.items())


def wait_for(condition: Callable[[], bool], process: "subprocess.Popen[bytes]") -> None:
    deadline = time.monotonic() + 200
    while not condition():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.5)


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
        (lambda site: series(site, "c3"), "is cut short or does not decode; take it out"),
    ],
)
def test_bad_data_is_one_line_and_leaves_nothing(
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


def edit(site: Path, old: str, new: str) -> None:
    path = site / "manifest.csv"
    path.write_text(path.read_text().replace(old, new))


def series(site: Path, name: str) -> None:
    """A DICOM series with one cut file, in place of a NIfTI file."""
    (site / "images" / f"{name}.nii.gz").unlink()
    dicom_factory.write_series(site / "images" / name)
    truncate(next((site / "images" / name).iterdir()), 0.98)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--rounds", "0"], "--rounds 0: must be at least 1"),
        (["--rounds", "many"], "argument --rounds: invalid int value: 'many'"),
        (["--local-epochs", "-1"], "--local-epochs -1: must be at least 1"),
        (["--sites", "0"], "--sites 0: must be at least 1"),
        (["--seeds", "-1"], "--seeds -1: a seed is 0 or more"),
        (["--seeds", "1", "1"], "--seeds: 1 stands there twice"),
        (["--data", "nowhere"], "nowhere: no such data folder"),
        (["--strategy", "fedavg", "fedavg"], "--strategy: fedavg stands there twice"),
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
def test_bad_input_is_one_line_and_leaves_nothing(
    words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    defaults = {"--task": "phantom-covid2", "--strategy": "fedavg", "--out": str(tmp_path / "out")}
    given = [w for flag, value in defaults.items() if flag not in words for w in (flag, value)]
    with pytest.raises(SystemExit) as ended:
        run_sim.main([*given, *words])
    assert ended.value.code == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
