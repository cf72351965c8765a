"""Experiments on Flower's real engine: their files, exact models, hold-outs, folds, encryption."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers import federation, tiny
from helpers.engine_runs import run_simulation
from helpers.federation import LocalRun, play
from helpers.loopback_grid import LoopbackGrid
from safetensors.numpy import load_file

from ucadi_flwr.client_app import app
from ucadi_flwr.exchange.sealed_run import open_sealed
from ucadi_flwr.protection.keys import SiteKey
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe
from ucadi_flwr.results.experiment import read_results

pytestmark = pytest.mark.slow


def test_the_results_describe_the_files(experiment: Path) -> None:
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
            for measures in model.test.values():
                assert sum(map(sum, measures.confusion)) == measures.n
    assert (out / "report.html").is_file()
    assert not (out / "cache").exists()
    assert {p.name for p in (out / "recipes").iterdir()} == {
        *("task.yaml", "strategy-fedavg.yaml", "strategy-local.yaml", "strategy-central.yaml"),
        "strategy-doomed.yaml",
    }
    assert "batch-size: 8" in (out / "recipes" / "task.yaml").read_text()


def test_a_cell_that_fails_is_reported_and_the_others_continue(experiment: Path) -> None:
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


def test_the_engine_gives_the_loopback_network_s_model_bit_for_bit(experiment: Path) -> None:
    """Other processes and another order of the replies give the same bits."""
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
    state = load_file(out / "fedavg" / "seed0" / "server" / "model.safetensors")
    expected = load_file(config.server / "model.safetensors")
    assert all(np.array_equal(state[name], expected[name]) for name in state)
    exact = read_results(out / "results.json").cells[0].models[0].test
    counted = json.loads((config.server / "run.json").read_text())["models"][0]["test"]
    for site, measures in exact.items():
        assert counted[site]["confusion"] == measures.confusion


def test_ucadi_report_writes_the_same_report_again(experiment: Path) -> None:
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


def test_hold_outs_and_folds(tmp_path: Path) -> None:
    """A site that never trains, and a test of the fold with the best validation."""
    data = tiny.write_sites(tmp_path / "data", {"a": 16, "b": 16, "c": 8})
    words = ["--task", tiny.write_task(tmp_path), "--data", data, "--rounds", "1"]
    words += ["--strategy", "fedavg", "central", "--set", "min-sites=1", "--hold-out", "c"]
    words += ["--folds", "2", "--out", tmp_path / "out"]
    run_simulation(*words)
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
        assert not (
            folder / "fold1" / "features"
        ).exists()  # features of validation cases are not kept
        validated = (folder / "fold1" / "predictions" / "all" / "a.csv").read_text().splitlines()
        tested = (folder / "predictions" / "all" / "a.csv").read_text().splitlines()
        assert not {line.split(",")[0] for line in validated[1:]} & {
            line.split(",")[0] for line in tested[1:]
        }


def test_an_encrypted_cell_is_opened_by_the_experiment_alone(tmp_path: Path) -> None:
    """The same bits as over the loopback network, which uses another key."""
    data = tiny.write_sites(tmp_path / "data", {"a": 12, "b": 8, "c": 8})
    words = ["--task", tiny.write_task(tmp_path), "--data", data, "--rounds", "2"]
    words += ["--strategy", "ucadi", "--out", tmp_path / "out", "--bandwidth", "900KB/s"]
    _, errors = run_simulation(*words)
    for part in ("MB up and", "s of protection (bfv)", "at 900 KB/s", "round 2/2"):
        assert part in " ".join(errors.split())
    folder = tmp_path / "out" / "ucadi" / "seed0"
    (cell,) = read_results(tmp_path / "out" / "results.json").cells
    assert cell.error is None
    assert [record.loss is not None for record in cell.rounds] == [True, True]
    assert all(s.examples is None for record in cell.rounds for s in record.sites.values())
    assert cell.models[0].file == "ucadi/seed0/model.safetensors"
    assert set(cell.models[0].test) == {"a", "b", "c"}
    assert {p.name for p in (folder / "server").iterdir()} == {
        *("journal.jsonl", "lock", "run.json", "sealed.safetensors")
    }
    opened = load_file(folder / "model.safetensors")
    server = b"".join(p.read_bytes() for p in (folder / "server").iterdir())
    server += (folder / "flower.log").read_bytes()
    assert not any(v.tobytes() in server for v in opened.values() if v.nbytes >= 64 and v.any())
    assert not list((tmp_path / "out").rglob("*.key"))
    config = federation.configs(tmp_path, data)("ucadi", scheme="bfv")
    federation.run(config)
    recipe = loader.load(StrategyRecipe, "ucadi")
    task = loader.load(TaskRecipe, config.task)
    key = SiteKey.load(Path(config.key))
    expected = open_sealed(config.server / "sealed.safetensors", task, recipe, key).state
    assert all(np.array_equal(opened[name], values) for name, values in expected.items())
