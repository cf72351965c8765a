"""Experiments that were stopped or killed: no process is left, and --resume continues them."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import federation, tiny
from helpers.engine_runs import (
    ROOT,
    SIZES,
    accept_ctrl_c,
    engine_processes,
    run_simulation,
    wait_for,
)
from safetensors.numpy import load_file

import run_sim
from ucadi_flwr.exchange.sealed_run import open_sealed
from ucadi_flwr.protection.keys import SiteKey
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe
from ucadi_flwr.results.experiment import read_results
from ucadi_flwr.simulation.engine import FOLDER_PREFIX, Engine

pytestmark = pytest.mark.slow

TMP = Path("/tmp")  # noqa: S108 - the folder of the engines' folders


def test_a_grid_continues_with_the_cells_that_it_lacks(experiment: Path, tmp_path: Path) -> None:
    """The failed cell is run again, and the others are kept."""
    out = tmp_path / "out"
    shutil.copytree(experiment / "out", out)
    words = json.loads((experiment / "words").read_text())
    words[words.index("--out") + 1] = str(out)
    before = {
        path: path.stat().st_mtime_ns for path in out.glob("[flc]*/seed0/**/model*.safetensors")
    }
    assert len(before) == 4
    _, errors = run_simulation(*words, "--resume")
    assert "doomed · seed 0 · starting" in errors
    assert "fedavg · seed 0 · starting" not in errors
    assert {path: path.stat().st_mtime_ns for path in before} == before
    cells = read_results(out / "results.json").cells
    assert [c.strategy.name for c in cells] == ["fedavg", "doomed", "local", "central"]


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ([], "holds results already; add --resume"),
        (["--resume", "--set", "training.epochs=3"], "task tiny was another recipe then"),
        (["--resume", "--set", "wait-for-sites=7"], "strategy fedavg was another recipe then"),
        (["--resume", "--rounds", "2"], "strategy fedavg was another recipe then, or had 1 rounds"),
        (["--resume", "--strategy", "fedavg"], "holds doomed with seed 0 too"),
    ],
)
def test_an_experiment_with_other_settings_is_not_resumed(
    experiment: Path, extra: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        run_sim.main([*json.loads((experiment / "words").read_text()), *extra])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_stopped_experiment_leaves_no_process(tmp_path: Path, number: int, status: int) -> None:
    """During a run, by SIGTERM or Ctrl-C."""
    tiny.write_sites(tmp_path / "data", SIZES)
    words = ["--task", tiny.write_task(tmp_path), "--data", tmp_path / "data", "--rounds", "500"]
    words += ["--strategy", "fedavg", "--out", tmp_path / "out"]
    process = subprocess.Popen(
        [sys.executable, str(ROOT / "run_sim.py"), *map(str, words)],
        stderr=subprocess.DEVNULL,
        preexec_fn=accept_ctrl_c,
    )
    journal = tmp_path / "out" / "fedavg" / "seed0" / "server" / "journal.jsonl"
    wait_for(lambda: journal.is_file() and '"round"' in journal.read_text(), process)
    assert len(engine_processes(process.pid)) >= 3
    process.send_signal(number)
    assert process.wait(100) == status
    assert not engine_processes(process.pid)
    assert not (tmp_path / "out" / "cache").exists()
    assert not (tmp_path / "out" / "report.html").exists()


def test_a_killed_experiment_is_ended_by_the_next_and_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After kill -9 during an encrypted run the model is the same as without, to the bit."""
    tiny.write_sites(tmp_path / "data", federation.SIZES)
    words = ["--task", tiny.write_task(tmp_path), "--data", tmp_path / "data", "--rounds", "8"]
    words += ["--strategy", "ucadi", "--out", tmp_path / "out"]
    command = [sys.executable, str(ROOT / "run_sim.py"), *map(str, words)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    cell = tmp_path / "out" / "ucadi" / "seed0"
    journal = cell / "server" / "journal.jsonl"
    wait_for(lambda: journal.is_file() and '"round": 2, "rounds"' in journal.read_text(), process)
    for pid in engine_processes(process.pid):
        os.kill(pid, signal.SIGSTOP)  # or they could finish the run meanwhile
    with Engine():  # does not end the engine of a running experiment
        assert len(engine_processes(process.pid)) >= 3
    process.kill()
    process.wait()
    assert list(TMP.glob(f"{FOLDER_PREFIX}{process.pid}-*"))
    subprocess.run([*command, "--resume"], check=True)
    assert not engine_processes(process.pid)
    assert not list(TMP.glob(f"{FOLDER_PREFIX}{process.pid}-*"))
    assert '"event": "resumed"' in journal.read_text()
    assert not list(cell.rglob("*.key"))
    monkeypatch.setattr("ucadi_flwr.server.replies.POLL_SECONDS", 0.001)
    whole = federation.configs(tmp_path, tmp_path / "data")("ucadi", scheme="bfv", rounds=8)
    federation.run(whole)
    task, recipe = loader.load(TaskRecipe, whole.task), loader.load(StrategyRecipe, "ucadi")
    expected = open_sealed(
        whole.server / "sealed.safetensors", task, recipe, SiteKey.load(Path(whole.key))
    ).state
    state = load_file(cell / "model.safetensors")
    assert all(np.array_equal(state[name], values) for name, values in expected.items())
