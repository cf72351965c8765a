"""Readers compared with the strategies' models, on the cases of all sites."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from helpers.known import known
from helpers.small_experiment import SmallExperiment
from numpy.typing import NDArray

from ucadi_flwr.comparison.readers import majority
from ucadi_flwr.errors import DataError
from ucadi_flwr.evaluation.intervals import wilson
from ucadi_flwr.evaluation.paired import mcnemar, sign_flips

LABELS = {"north": [1, 1, 1, 0, 0], "south": [0, 0, 1, 1, 0]}
TRUTH = np.array([1, 1, 1, 0, 0, 0, 0, 1, 1, 0])
CALLS = {
    "R1": np.array([1, 1, 0, 0, 0, 0, 1, 1, 1, 0]),
    "R2": np.array([1, 0, 0, 0, 0, 0, 0, 1, 1, 1]),
}
MODEL = np.array([1, 1, 1, 1, 0, 0, 0, 1, 0, 0])


@pytest.fixture
def study(experiment: SmallExperiment) -> SmallExperiment:
    for site, labels in LABELS.items():
        experiment.site(site, labels)
        at = slice(0, 5) if site == "north" else slice(5, 10)
        experiment.predict("central", 2, site, np.where(TRUTH[at], 0.7, 0.3))
        experiment.predict("fedavg", 1, site, np.where(MODEL[at], 0.9, 0.2))
        experiment.predict("fedavg", 4, site, np.where(TRUTH[at], 0.7, 0.3))
        experiment.predict("local", 0, site, np.where(MODEL[at], 0.6, 0.4), site)
        other = "south" if site == "north" else "north"
        experiment.predict("local", 0, site, np.full(5, 0.6), other)
    return experiment


def write(folder: Path, calls: Mapping[str, NDArray[np.int64]]) -> Path:
    rows = ["case,reader,call"]
    names = [f"{site}-{i}" for site in LABELS for i in range(5)]
    for reader, values in calls.items():
        rows += [f"{c},{reader},{'yes' if v else 'no'}" for c, v in zip(names, values, strict=True)]
    path = folder / "readers.csv"
    path.write_text("\n".join(rows) + "\n")
    return path


def test_readers(study: SmallExperiment, tmp_path: Path) -> None:
    studies = study.analyse(readers=write(tmp_path, CALLS)).readers
    assert [(s.strategy, s.seed) for s in studies] == [("fedavg", 1), ("central", 2)]
    fedavg = studies[0]
    # model: 4 of 5 positives, 4 of 5 negatives
    of_model = wilson(4 / 5, 5)
    for estimate in (fedavg.model_sensitivity, fedavg.model_specificity):
        assert estimate.mean == 0.8
        assert (estimate.low, estimate.high) == pytest.approx((of_model.low, of_model.high))
        assert estimate.sd is None
    assert [r.reader for r in fedavg.readers] == [
        "R1",
        "R2",
        "mean of readers",
        "majority of readers",
    ]
    r1, r2, mean, majority = fedavg.readers
    assert (r1.cases, r1.sensitivity.mean, r1.specificity.mean, r1.ties) == (10, 0.8, 0.8, [])
    assert (r2.sensitivity.mean, r2.specificity.mean) == (0.6, 0.8)
    assert (r1.sensitivity.low, r1.sensitivity.high) == pytest.approx((of_model.low, of_model.high))
    right = MODEL == TRUTH
    assert r1.p == mcnemar(right, CALLS["R1"] == TRUTH).p
    # two readers: cases 1, 6 and 9 are ties
    assert majority.ties == ["north-1", "south-1", "south-4"]
    assert (majority.cases, majority.specificity.mean) == (7, 1.0)
    assert majority.sensitivity.mean == 0.75  # of north-0, north-2, south-2, south-3
    p = [known(reader.p) for reader in (r1, r2, majority)]
    assert r1.p_holm == pytest.approx(min(1.0, max(3 * min(p), p[0])))
    assert mean.sensitivity.mean == pytest.approx(0.7)
    assert known(mean.sensitivity.low) < 0.7 < known(mean.sensitivity.high)
    assert (mean.sensitivity.sd, mean.p, mean.p_holm, mean.cases) == (None, None, None, 10)


def test_a_local_reference_is_compared_with_its_local_models(
    study: SmallExperiment, tmp_path: Path
) -> None:
    studies = study.analyse("local", write(tmp_path, CALLS)).readers
    assert [s.strategy for s in studies] == ["local", "central", "fedavg"]
    assert studies[0].model_sensitivity.mean == studies[2].model_sensitivity.mean == 0.8


def test_one_reader_has_no_majority(study: SmallExperiment, tmp_path: Path) -> None:
    (reader,) = study.analyse(readers=write(tmp_path, {"R1": CALLS["R1"]})).readers[0].readers
    assert reader.reader == "R1"
    assert reader.p_holm == reader.p


def test_readers_that_never_agree(study: SmallExperiment, tmp_path: Path) -> None:
    calls = {"R1": CALLS["R1"], "R2": 1 - CALLS["R1"]}
    majority = study.analyse(readers=write(tmp_path, calls)).readers[0].readers[3]
    assert (majority.cases, len(majority.ties), majority.p) == (0, 10, None)
    assert (majority.sensitivity.mean, majority.specificity.mean) == (None, None)


def test_a_majority_of_three_is_never_tied() -> None:
    third = np.array([1, 0, 1, 0, 0, 0, 0, 0, 0, 1])
    calls = np.array([*CALLS.values(), third], np.bool_)
    assert majority(calls) == [*map(bool, [1, 0, 0, 0, 0, 0, 0, 1, 1, 1])]
    assert majority(calls[:2]) == [
        bool(a) if a == b else None for a, b in zip(*CALLS.values(), strict=True)
    ]


def test_several_scans_per_patient_widen_the_intervals(
    experiment: SmallExperiment, tmp_path: Path
) -> None:
    experiment.site("north", np.repeat(LABELS["north"], 2), [f"p{i // 2}" for i in range(10)])
    experiment.predict("fedavg", 0, "north", np.repeat([0.9, 0.2, 0.9, 0.1, 0.2], 2))
    path = tmp_path / "readers.csv"
    calls = [f"north-{i},R1,{'yes' if i < 4 else 'no'}" for i in range(10)]
    path.write_text("\n".join(["case,reader,call", *calls]))
    fedavg = experiment.analyse(readers=path).readers[0]
    exact = wilson(2 / 3, 3)
    assert fedavg.model_sensitivity.low == pytest.approx(exact.low)
    assert fedavg.readers[0].sensitivity.high == pytest.approx(exact.high)
    # truth 1 1 1 0 0 by patient; the model is wrong at the second, the reader at the third
    assert fedavg.readers[0].p == sign_flips(np.array([0, -2, 2, 0, 0])) == 1.0


def test_a_reader_is_compared_over_patients_like_a_model(
    experiment: SmallExperiment, tmp_path: Path
) -> None:
    """Five patients with two scans: the reader is wrong at four patients, the model at none."""
    experiment.site("north", np.repeat(LABELS["north"], 2), [f"p{i // 2}" for i in range(10)])
    experiment.predict("fedavg", 0, "north", np.repeat([0.9, 0.9, 0.9, 0.1, 0.2], 2))
    path = tmp_path / "readers.csv"
    wrong = [0, 2, 3, 4, 6]  # of p0, p1 (both scans: 2, 3), p2, p3
    called = [int(truth) ^ (i in wrong) for i, truth in enumerate(np.repeat(LABELS["north"], 2))]
    calls = [f"north-{i},R1,{'yes' if call else 'no'}" for i, call in enumerate(called)]
    path.write_text("\n".join(["case,reader,call", *calls]))
    reader = experiment.analyse(readers=path).readers[0].readers[0]
    # ±1 ±2 ±1 ±1: both extremes of sixteen sums
    assert reader.p == pytest.approx(2 / 16, rel=1e-12)


def test_two_cases_of_one_name_are_refused(experiment: SmallExperiment, tmp_path: Path) -> None:
    for site in ("north", "south"):
        experiment.site(site, [1, 0], cases=["1", f"2-{site}"])
        experiment.predict("fedavg", 0, site, [0.9, 0.2])
    experiment.analyse()  # without readers, two sites may use the same names
    path = tmp_path / "readers.csv"
    with pytest.raises(DataError) as error:
        experiment.analyse(readers=path)
    assert str(error.value) == (
        f"{path}: case '1' is at north and at south, so a call does not say which of them it is "
        "for; give every case its own name"
    )


def test_a_file_of_readers_with_other_cases_is_refused(
    study: SmallExperiment, tmp_path: Path
) -> None:
    path = write(tmp_path, CALLS)
    path.write_text(path.read_text().replace("south-4", "east-1"))
    with pytest.raises(DataError, match="no such test case"):
        study.analyse(readers=path)
