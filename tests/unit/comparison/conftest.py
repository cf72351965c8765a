"""A small experiment, and a way to find rows of its analysis, for all tests of the comparison."""

from pathlib import Path

import pytest
from helpers.small_experiment import SmallExperiment

from ucadi_flwr.comparison import resampling
from ucadi_flwr.results.analysis import Analysis, Difference, Tested


@pytest.fixture
def experiment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallExperiment:
    monkeypatch.setattr(resampling, "DRAWS", 200)
    return SmallExperiment(tmp_path)


class Find:
    """Find one row of an analysis."""

    @staticmethod
    def tested(
        analysis: Analysis,
        strategy: str,
        tested_at: str = "all",
        trained_at: str = "all",
        unit: str = "scan",
    ) -> Tested:
        key = (strategy, trained_at, tested_at, unit)
        [row] = [
            t for t in analysis.tested if (t.strategy, t.trained_at, t.tested_at, t.unit) == key
        ]
        return row

    @staticmethod
    def difference(
        analysis: Analysis, a: str, tested_at: str, measure: str = "auc", unit: str = "scan"
    ) -> Difference:
        key = (a, tested_at, measure, unit)
        [row] = [d for d in analysis.differences if (d.a, d.tested_at, d.measure, d.unit) == key]
        return row


@pytest.fixture
def find() -> Find:
    return Find()
