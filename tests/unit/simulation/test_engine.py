"""The engine without a SuperLink: its app's manifest, its resources, and its errors."""

import os
import tomllib
from pathlib import Path

import pytest
import torch

from ucadi_flwr.errors import FederationError, RecipeError
from ucadi_flwr.processes.flower_app import manifest
from ucadi_flwr.recipes.run_config import Flat, RunConfig, SimulationSettings
from ucadi_flwr.simulation.engine import Engine, Resources

VALUES = {
    "task": 'a "quoted" \\ name.yaml',
    "strategy": "fedavg",
    "data": "",
    "sites": 0,
    "nodes": 3,
    "rounds": 2,
    "seed": 0,
    "initial": "",
    "resume": False,
    "out": "/somewhere",
    "name": "fedavg/seed0",
    "threads": 1,
    "context": "",
    "key": "",
    "bandwidth": 0,
    "holdout": "",
    "folds": 0,
    "fold": 0,
}


def test_the_manifest_holds_the_run_config() -> None:
    config = RunConfig.read(VALUES)
    app = tomllib.loads(manifest(config.flat()))["tool"]["flwr"]["app"]
    assert app["config"] == VALUES
    assert app["components"]["serverapp"] == "ucadi_flwr.server_app:app"


def test_the_project_s_own_app_has_the_same_keys() -> None:
    """``flwr run .`` at the top of the repository."""
    root = Path(__file__).resolve().parents[3]
    app = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["flwr"]["app"]
    assert set(app["config"]) == set(VALUES)
    RunConfig.read(app["config"])
    generated = tomllib.loads(manifest(RunConfig.read(VALUES).flat()))
    assert app["components"] == generated["tool"]["flwr"]["app"]["components"]


@pytest.mark.parametrize(
    ("change", "message"), [({"seed": -1}, "seed"), ({"spy": 1}, "spy"), ({"task": ""}, "task")]
)
def test_the_setting_that_is_wrong_is_named(change: Flat, message: str) -> None:
    with pytest.raises(RecipeError, match=f"run-config: {message}: "):
        RunConfig.read({**VALUES, **change})


def test_a_run_without_settings_of_the_simulation_is_a_real_one() -> None:
    real = {k: v for k, v in VALUES.items() if k not in SimulationSettings.model_fields}
    config = RunConfig.read(real)
    assert config.simulation is None
    assert config.flat() == real
    simulated = RunConfig.read({**VALUES, "holdout": "a,b"})
    assert simulated.simulation is not None
    assert simulated.simulation.held_out == ("a", "b")
    with pytest.raises(RecipeError, match="run-config: data: "):
        RunConfig.read({**real, "folds": 0})


@pytest.mark.parametrize(
    ("cores", "gpus", "sites", "expected"),
    [
        (2, 0, 3, Resources(1, 0.0)),
        (16, 0, 3, Resources(5, 0.0)),
        (16, 1, 4, Resources(4, 0.25)),
        (16, 8, 3, Resources(5, 1.0)),
        (2, 0, 1, Resources(2, 0.0)),
    ],
)
def test_sites_share_the_machine(
    cores: int, gpus: int, sites: int, expected: Resources, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(cores)))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    assert Resources.share(sites) == expected


def test_an_engine_that_does_not_start_is_an_error_and_leaves_no_folder(tmp_path: Path) -> None:
    program = tmp_path / "flower-superlink"
    program.write_text("#!/bin/sh\necho 'no database'\nexit 3\n")
    program.chmod(0o755)
    broken = Engine()
    broken._children.environment["PATH"] = f"{tmp_path}:/usr/bin:/bin"
    with pytest.raises(FederationError, match="engine stopped by itself: no database"):
        broken.__enter__()
    assert not broken.home.exists()
