"""The CSV files contain every number of the analysis."""

import csv
import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from helpers.small_experiment import SmallExperiment

from ucadi_flwr.comparison import resampling
from ucadi_flwr.report.csv_files import csv_texts
from ucadi_flwr.results.analysis import Analysis, Estimate, read_analysis, write_analysis

PARTS = ("mean", "low", "high", "sd")


@pytest.fixture
def analysis(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Analysis:
    monkeypatch.setattr(resampling, "DRAWS", 200)
    experiment = SmallExperiment(tmp_path)
    rng = np.random.default_rng(19)
    patients = [f"p{i // 2}" for i in range(24)]
    experiment.site("north, west", [0, 0, 1, 1] * 6, patients)
    experiment.site("hannover", [1] * 12)
    for strategy in ("fedavg", "other"):
        for seed in (0, 1):
            experiment.predict(strategy, seed, "north, west", rng.random(24))
            experiment.predict(strategy, seed, "hannover", rng.random(12))
    names = [case for cases, _, _ in experiment.sites.values() for case in cases]
    path = tmp_path / "readers.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["case", "reader", "call"])
        writer.writerows(
            [c, r, "yes" if rng.random() < 0.5 else "no"] for c in names for r in ("R1", "R2")
        )
    return experiment.analyse(readers=path)


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def number(text: str) -> float | None:
    return None if text == "" else float(text)


def estimate(row: Mapping[str, str], prefix: str = "") -> Estimate:
    return Estimate.model_validate({part: number(row[prefix + part]) for part in PARTS})


def test_names_and_lines(analysis: Analysis) -> None:
    files = csv_texts(analysis)
    assert list(files) == [
        "figures.csv",
        "differences.csv",
        "roc.csv",
        "calibration.csv",
        "readers.csv",
    ]
    assert all(text.endswith("\n") and "\r" not in text for text in files.values())


def test_measures(analysis: Analysis) -> None:
    lines = rows(csv_texts(analysis)["figures.csv"])
    assert len(lines) == sum(9 + 2 + (t.unit == "scan") for t in analysis.tested)
    by_key = {
        (r["strategy"], r["trained_at"], r["tested_at"], r["unit"], r["measure"]): r for r in lines
    }
    for t in analysis.tested:
        key = (t.strategy, t.trained_at, t.tested_at, t.unit)
        for measure, value in t.figures.items():
            row = by_key[*key, measure]
            assert estimate(row) == value
            assert (int(row["cases"]), int(row["patients"])) == (t.cases, t.patients)
            assert (row["seeds"], row["held_out"]) == ("0 1", "false")
        for name, value in t.auc_by_class.items():
            assert estimate(by_key[*key, f"auc:{name}"]) == value
        if t.unit == "scan":
            assert number(by_key[*key, "auc_binned"]["mean"]) == t.auc_binned


def test_differences(analysis: Analysis) -> None:
    lines = rows(csv_texts(analysis)["differences.csv"])
    for row, d in zip(lines, analysis.differences, strict=True):
        assert estimate(row) == d.difference
        assert (number(row["p"]), number(row["p_holm"])) == (d.p, d.p_holm)
        assert (row["a"], row["b"], row["tested_at"]) == (d.a, d.b, d.tested_at)
        assert (row["unit"], row["measure"], row["method"]) == (d.unit, d.measure, d.method)


def test_curves(analysis: Analysis) -> None:
    files = csv_texts(analysis)
    points = [
        (t, *point)
        for t in analysis.tested
        if t.roc
        for point in zip(t.roc.fpr, t.roc.tpr, t.roc.low, t.roc.high, strict=True)
    ]
    assert points
    for row, (t, *point) in zip(rows(files["roc.csv"]), points, strict=True):
        assert [number(row[name]) for name in ("fpr", "tpr", "low", "high")] == point
        assert (row["strategy"], row["tested_at"], row["unit"]) == (t.strategy, t.tested_at, t.unit)
    bins = [b for t in analysis.tested for b in t.calibration]
    for row, b in zip(rows(files["calibration.csv"]), bins, strict=True):
        assert (number(row["score"]), number(row["fraction"])) == (b.score, b.fraction)
        assert int(row["cases"]) == b.cases


def test_readers(analysis: Analysis) -> None:
    lines = rows(csv_texts(analysis)["readers.csv"])
    expected = [(study, row) for study in analysis.readers for row in (None, *study.readers)]
    assert len(lines) == 10
    for row, (study, reader) in zip(lines, expected, strict=True):
        assert (row["strategy"], int(row["seed"])) == (study.strategy, study.seed)
        if reader is None:
            assert row["reader"] == row["p"] == row["cases"] == ""
            assert estimate(row, "sensitivity_") == study.model_sensitivity
            assert estimate(row, "specificity_") == study.model_specificity
        else:
            assert (row["reader"], int(row["cases"])) == (reader.reader, reader.cases)
            assert int(row["ties"]) == len(reader.ties)
            assert estimate(row, "sensitivity_") == reader.sensitivity
            assert estimate(row, "specificity_") == reader.specificity
            assert (number(row["p"]), number(row["p_holm"])) == (reader.p, reader.p_holm)


def test_the_document_is_read_back_as_it_was(analysis: Analysis, tmp_path: Path) -> None:
    path = tmp_path / "analysis.json"
    write_analysis(path, analysis)
    assert read_analysis(path) == analysis
    assert csv_texts(read_analysis(path)) == csv_texts(analysis)
