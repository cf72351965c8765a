"""What the tests of whole federations share."""

from pathlib import Path

import pytest
from helpers import tiny
from helpers.federation import SIZES, Config, configs


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_sites(tmp_path_factory.mktemp("data"), SIZES)


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("cohort", "replies"):
        monkeypatch.setattr(f"ucadi_flwr.server.{module}.POLL_SECONDS", 0.001)


@pytest.fixture
def config(tmp_path: Path, data: Path) -> Config:
    return configs(tmp_path, data)
