"""What the tests of whole federations and of whole experiments share."""

import json
import os
from pathlib import Path

import pytest
from helpers import engine_runs, tiny
from helpers.federation import SIZES, Config, configs


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_sites(tmp_path_factory.mktemp("data"), SIZES)


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ucadi_flwr.server.replies.POLL_SECONDS", 0.001)


@pytest.fixture
def config(tmp_path: Path, data: Path) -> Config:
    return configs(tmp_path, data)


@pytest.fixture(scope="session")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One experiment with every cohort, and a strategy that fails; the folder that holds it.

    ``data`` are its images, ``words`` its flags as JSON, ``out`` its results.
    """
    folder = tmp_path_factory.mktemp("experiment")
    tiny.write_sites(folder / "data", engine_runs.SIZES)
    words = ["--task", tiny.write_task(folder), "--data", folder / "data", "--rounds", "1"]
    doomed = folder / "doomed.yaml"
    text = "schema_version: 1\nname: doomed\nsummary: a timeout that is too short\n"
    doomed.write_text(f"{text}round-timeout: 0.01\n", encoding="utf-8")
    words += ["--strategy", "fedavg", doomed, "local", "central", "--out", folder / "out"]
    words += ["--set", "training.batch-size=8", "min-sites=1"]
    (folder / "words").write_text(json.dumps(list(map(str, words))))
    output, errors = engine_runs.run_simulation(*words)
    assert output == f"report: {folder / 'out' / 'report.html'}\n"
    assert not engine_runs.engine_processes(os.getpid())
    for text in ("fedavg · seed 0", "round 1/1", "loss"):
        assert text in errors
    return folder
