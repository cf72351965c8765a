"""A small experiment for all tests of the comparison."""

from pathlib import Path

import pytest
from helpers.small_experiment import SmallExperiment

from ucadi_flwr.comparison import resampling


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallExperiment:
    monkeypatch.setattr(resampling, "DRAWS", 200)
    return SmallExperiment(tmp_path)
