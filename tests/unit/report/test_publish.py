"""The whole of an experiment's folder: analysis, tables, figures and page."""

from pathlib import Path

import numpy as np
import pytest
from helpers.small_experiment import SmallExperiment

from ucadi_flwr.comparison import resampling
from ucadi_flwr.report.publish import publish
from ucadi_flwr.results.experiment import Results, write_results


def test_everything_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "DRAWS", 200)
    experiment = SmallExperiment(tmp_path)
    for site in ("north", "south"):
        experiment.site(site, [0, 1] * 10)
        for strategy in ("fedavg", "fedprox"):
            experiment.predict(strategy, 0, site, np.linspace(0.1, 0.9, 20))
    write_results(tmp_path / "results.json", experiment.results())
    report = publish(tmp_path, reference="fedprox")
    assert report == tmp_path / "report.html"
    page = report.read_text(encoding="utf-8")
    assert "fedavg compared with fedprox on all 40 cases" in page
    for name in ("analysis.json", "tables/figures.csv", "figures/roc.svg", "figures/roc.png"):
        assert (tmp_path / name).is_file()
    figures = [path.stem for path in (tmp_path / "figures").glob("*.svg")]
    assert page.count("<svg") == len(figures)
    assert all(f'id="{name}-title"' in page for name in figures)


def test_without_a_finished_run_the_report_lists_the_errors(
    results: Results, tmp_path: Path
) -> None:
    failed = [cell for cell in results.cells if cell.error is not None]
    write_results(tmp_path / "results.json", results.model_copy(update={"cells": failed}))
    page = publish(tmp_path).read_text(encoding="utf-8")
    assert "round 8: 1 sites answered and min-sites is 2" in page
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("figures", "report.html", "results.json")
    ]
    assert list((tmp_path / "figures").iterdir()) == []
