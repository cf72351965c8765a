"""Predictions are read and put in order; files that do not match are refused."""

from pathlib import Path

import numpy as np
import pytest
from helpers.small_experiment import SmallExperiment

from ucadi_flwr.errors import DataError
from ucadi_flwr.results import predictions as files
from ucadi_flwr.results.predictions import read_predictions

CLASSES = ("healthy", "covid-19")
HEADER = "case,patient,label,p:healthy,p:covid-19\n"
GOOD = HEADER + "a,A,healthy,0.75,0.25\nb,B,covid-19,0.5,0.5\n"


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "north.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_reading(tmp_path: Path) -> None:
    file = read_predictions(write(tmp_path, GOOD), CLASSES)
    assert (file.cases, file.patients) == (["a", "b"], ["A", "B"])
    assert file.labels.tolist() == [0, 1]
    assert file.probabilities.tolist() == [[0.75, 0.25], [0.5, 0.5]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "line 1: columns must be case,patient,label,p:healthy,p:covid-19"),
        ("case,label\n", "line 1: columns must be"),
        (HEADER, "has no cases"),
        (GOOD + "c,C,healthy,1\n", "more or fewer values than columns: line 4 (4 values); give 5"),
        (GOOD + "a,A,healthy,1,0\n", "line 4: case 'a' appears twice"),
        (GOOD + "c,C,ill,1,0\n", "unknown class: line 4 ('ill'); the task has healthy, covid-19"),
        (GOOD + f"c,C,{'x' * 99},1,0\n", f"unknown class: line 4 ('{'x' * 40}…')"),
        (GOOD + "c,C,healthy,one,0\n", "line 4: could not convert string to float: 'one'"),
        (GOOD + "c,C,healthy,1.5,-0.5\n", "line 4: a probability is not between 0 and 1"),
        (GOOD + "c,C,healthy,nan,nan\n", "line 4: a probability is not between 0 and 1"),
        (GOOD + "c,C,healthy,0.5,0.4\n", "line 4: the probabilities sum to 0.9, not to 1"),
        (GOOD + 'c,C,"healthy,1,0\n', "is not CSV"),
        (GOOD.encode() + b"\xff", "not UTF-8 at byte"),
    ],
)
def test_broken_files(tmp_path: Path, text: str | bytes, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(DataError) as error:
        read_predictions(path, CLASSES)
    assert str(error.value).startswith(f"{path}: ")
    assert message in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_and_large_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        DataError, match=r"gone\.csv: cannot be read \(No such file or directory\); predictions of"
    ):
        read_predictions(tmp_path / "gone.csv", CLASSES)
    path = write(tmp_path, GOOD)
    monkeypatch.setattr(files, "PREDICTIONS_BYTES", 10)
    with pytest.raises(DataError, match="bytes, at most 10"):
        read_predictions(path, CLASSES)


@pytest.fixture
def two(experiment: SmallExperiment) -> SmallExperiment:
    experiment.site("north", [1, 0, 1, 0], ["a", "b", "c", "c"])
    experiment.predict("fedavg", 0, "north", [0.9, 0.2, 0.6, 0.7])
    experiment.predict("other", 3, "north", [0.8, 0.3, 0.4, 0.1])
    return experiment


def edit(experiment: SmallExperiment, old: str, new: str) -> Path:
    path = experiment.path("other", 3, "north")
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return path


def test_cases_in_another_order_are_matched(two: SmallExperiment) -> None:
    expected = two.analyse()
    two.tests.clear()
    two.predict("fedavg", 0, "north", [0.9, 0.2, 0.6, 0.7])
    two.predict("other", 3, "north", [0.8, 0.3, 0.4, 0.1], order=[2, 0, 3, 1])
    assert two.analyse() == expected


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("north-1,", "north-9,", r"not the cases of .*fedavg.seed0.*\('north-1' is only in one"),
        ("north-1,b,healthy", "north-1,b,covid-19", "case 'north-1' has another patient or class"),
        ("north-1,b,healthy", "north-1,x,healthy", "case 'north-1' has another patient or class"),
        ("north-3,c,healthy,0.9,0.1\n", "", "not the cases"),
        ("north-3,", "north-3\\,", "not the cases"),
    ],
)
def test_other_cases_are_refused(two: SmallExperiment, old: str, new: str, message: str) -> None:
    path = edit(two, old, new)
    with pytest.raises(DataError, match=message) as error:
        two.analyse()
    assert str(error.value).startswith(f"{path}: ")


def test_a_missing_file_of_a_finished_run_is_refused(two: SmallExperiment) -> None:
    two.path("other", 3, "north").unlink()
    with pytest.raises(
        DataError, match=r"other/seed3/predictions/all/north\.csv: cannot be read \(No such file"
    ):
        two.analyse()


def test_failed_runs_are_left_out_with_a_warning(two: SmallExperiment) -> None:
    two.errors["other", 3] = "site north: CUDA\nout of memory."
    two.errors["fedavg", 7] = "x" * 300
    analysis = two.analyse()
    assert {t.strategy for t in analysis.tested} == {"fedavg"}
    assert analysis.warnings[:2] == [
        "other, seed 3 failed and is in no result: site north: CUDA out of memory",
        f"fedavg, seed 7 failed and is in no result: {'x' * 200}…",
    ]


def test_nothing_finished(two: SmallExperiment) -> None:
    two.errors = {("fedavg", 0): "no", ("other", 3): "no"}
    with pytest.raises(DataError, match="no run finished with predictions"):
        two.analyse()


def test_sites_come_in_the_order_of_the_results(experiment: SmallExperiment) -> None:
    for name in ("b", "a"):
        experiment.site(name, [1, 0])
        experiment.predict("fedavg", 0, name, [0.9, 0.1])
    assert [t.tested_at for t in experiment.analyse().tested] == ["b", "a", "all"]
    del experiment.data["b"]
    assert [t.tested_at for t in experiment.analyse().tested] == ["a", "b", "all"]


def test_probabilities_are_read_exactly(experiment: SmallExperiment, tmp_path: Path) -> None:
    experiment.site("north", np.arange(50) % 2)
    scores = np.random.default_rng(0).random(50)
    experiment.predict("fedavg", 0, "north", scores)
    file = read_predictions(experiment.path("fedavg", 0, "north"), CLASSES)
    assert file.probabilities[:, 1].tolist() == scores.tolist()
