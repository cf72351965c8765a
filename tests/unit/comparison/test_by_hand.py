"""Six cases computed by hand: every measure, every interval, the curves, the differences."""

import numpy as np
import pytest
from helpers import find
from helpers.known import known
from helpers.resampled import bootstrap
from helpers.small_experiment import SmallExperiment
from scipy.special import expit, logit
from scipy.stats import norm

from ucadi_flwr.comparison import resampling
from ucadi_flwr.evaluation.intervals import wilson
from ucadi_flwr.results.analysis import Analysis

LABELS = [1, 1, 1, 0, 0, 0]
FIRST = [0.9, 0.6, 0.4, 0.7, 0.3, 0.2]
SECOND = [0.9, 0.6, 0.8, 0.7, 0.3, 0.2]
Z = norm.ppf(0.975)


@pytest.fixture
def one_seed(experiment: SmallExperiment) -> Analysis:
    experiment.site("north", LABELS)
    experiment.predict("fedavg", 0, "north", FIRST)
    experiment.predict("other", 0, "north", SECOND)
    return experiment.analyse()


@pytest.fixture
def two_seeds(experiment: SmallExperiment) -> Analysis:
    experiment.site("north", LABELS)
    experiment.predict("fedavg", 0, "north", FIRST)
    experiment.predict("fedavg", 1, "north", SECOND)
    return experiment.analyse()


def test_counts(one_seed: Analysis) -> None:
    row = find.row(one_seed, "fedavg", "north")
    assert (row.cases, row.patients, row.positives, row.seeds) == (6, 6, 3, [0])
    assert row.confusion == [[2, 1], [1, 2]]
    assert not row.held_out
    assert [t.tested_at for t in one_seed.tested] == ["north", "all"] * 2
    assert one_seed.reference == "fedavg"
    assert one_seed.positive_class == "covid-19"
    assert one_seed.level == 0.95


def test_auc(one_seed: Analysis) -> None:
    # the positives are above 3, 2, 2 of the negatives: 7/9. V10 = 1, ⅔, ⅔; V01 = ⅓, 1, 1;
    # S10 = 1/27, S01 = 4/27, var = (1/27 + 4/27) / 3 = 5/81
    auc = find.row(one_seed, "fedavg", "north").figures["auc"]
    half = Z * np.sqrt(5 / 81) / (7 / 9 * 2 / 9)
    assert auc.mean == 7 / 9
    assert auc.low == pytest.approx(expit(logit(7 / 9) - half), rel=1e-12)
    assert auc.high == pytest.approx(expit(logit(7 / 9) + half), rel=1e-12)
    assert auc.sd is None
    row = find.row(one_seed, "fedavg", "north")
    assert row.auc_by_class["covid-19"] == auc
    assert row.auc_by_class["healthy"].mean == pytest.approx(7 / 9, abs=1e-15)
    assert row.auc_binned == pytest.approx(7 / 9, abs=1e-15)


@pytest.mark.parametrize(
    ("name", "value", "hits", "of"),
    [
        ("accuracy", 4 / 6, 4, 6),
        ("sensitivity", 2 / 3, 2, 3),
        ("specificity", 2 / 3, 2, 3),
        ("precision", 2 / 3, 2, 3),
        ("fpr", 1 / 3, 1, 3),
    ],
)
def test_proportions_have_wilsons_interval(
    one_seed: Analysis, name: str, value: float, hits: int, of: int
) -> None:
    estimate = find.row(one_seed, "fedavg", "north").figures[name]
    exact = wilson(hits / of, of)
    assert estimate.mean == pytest.approx(value, abs=1e-15)
    assert (estimate.low, estimate.high) == pytest.approx((exact.low, exact.high), rel=1e-12)
    assert estimate.sd is None


def test_f1(one_seed: Analysis) -> None:
    # J = 2 / (2 + 1 + 1), and F1 = 2J / (1 + J) at both ends of Wilson's interval of 2 in 4
    estimate = find.row(one_seed, "fedavg", "north").figures["f1"]
    of_j = wilson(2 / 4, 4)
    assert estimate.mean == pytest.approx(2 / 3, abs=1e-15)
    assert estimate.low == pytest.approx(2 * of_j.low / (1 + of_j.low), rel=1e-12)
    assert estimate.high == pytest.approx(2 * of_j.high / (1 + of_j.high), rel=1e-12)
    assert (estimate.low, estimate.high) == pytest.approx((0.261, 0.919), abs=1e-3)


def test_probabilities(one_seed: Analysis) -> None:
    measures = find.row(one_seed, "fedavg", "north").figures
    # squares .01 .16 .36 .49 .09 .04; every case has its own bin: gaps .1 .4 .6 .7 .3 .2
    assert measures["brier"].mean == pytest.approx(1.15 / 6, abs=1e-15)
    assert measures["ece"].mean == pytest.approx(2.3 / 6, abs=1e-15)
    squares = (np.array(FIRST) - LABELS) ** 2
    expected = bootstrap(np.mean, [squares], draws=resampling.DRAWS)
    assert measures["brier"].low == pytest.approx(expected.low, abs=1e-12)
    assert measures["brier"].high == pytest.approx(expected.high, abs=1e-12)


def test_roc(one_seed: Analysis) -> None:
    roc = known(find.row(one_seed, "fedavg", "north").roc)
    assert (roc.fpr[:3], roc.tpr[:2], roc.low[0], roc.high[0]) == (
        [0.0, 0.0, 0.01],
        [0.0, 1 / 3],
        0.0,
        0.0,
    )
    at = dict(zip(roc.fpr[1:], roc.tpr[1:], strict=True))
    assert at[0.33] == pytest.approx(1 / 3, abs=1e-15)
    assert at[0.34] == at[1.0] == 1.0
    assert all(known(a) <= known(b) for a, b in zip(roc.low, roc.high, strict=True))


def test_calibration(one_seed: Analysis) -> None:
    bins = find.row(one_seed, "fedavg", "north").calibration
    assert [(round(b.score, 12), b.fraction, b.cases) for b in bins] == [
        (score, float(score in (0.9, 0.6, 0.4)), 1) for score in sorted(FIRST)
    ]


def test_two_seeds(two_seeds: Analysis) -> None:
    row = find.row(two_seeds, "fedavg", "north")
    auc = row.figures["auc"]
    assert row.seeds == [0, 1]
    assert auc.mean == pytest.approx(7.5 / 9, abs=1e-15)  # of 7/9 and 8/9
    assert auc.sd == pytest.approx(1 / 9 / np.sqrt(2), abs=1e-15)
    # V10 = 1, ⅔, (⅔ + 1) / 2; V01 = (⅓ + ⅔) / 2, 1, 1; S10 and S01 by their definition
    v10, v01 = np.array([1, 2 / 3, 5 / 6]), np.array([1 / 2, 1, 1])
    variance = v10.var(ddof=1) / 3 + v01.var(ddof=1) / 3
    half = Z * np.sqrt(variance) / (7.5 / 9 * 1.5 / 9)
    assert auc.low == pytest.approx(expit(logit(7.5 / 9) - half), rel=1e-12)
    assert row.confusion == [[4, 2], [1, 5]]
    assert row.figures["sensitivity"].mean == pytest.approx(5 / 6)
    assert row.figures["specificity"].sd == 0.0
    assert row.auc_binned == pytest.approx(7.5 / 9, abs=1e-15)
    assert row.figures["brier"].mean == pytest.approx((1.15 + 1.15 - 0.32) / 12)
    roc = known(row.roc)
    at = dict(zip(roc.fpr[1:], roc.tpr[1:], strict=True))
    assert at[0.0] == pytest.approx((1 / 3 + 2 / 3) / 2)
    assert {b.cases for b in row.calibration} == {1, 2}
    assert sum(b.cases for b in row.calibration) == 12


def test_sensitivity_of_two_seeds(two_seeds: Analysis) -> None:
    # patients' means over seeds 1, 1, ½ of 3: Σ(a − ⅚)² / 9 = 1/54, unbiased 1/36,
    # n = 1 + ⅚·⅙·36 = 6 independent cases, of six in all
    estimate = find.row(two_seeds, "fedavg", "north").figures["sensitivity"]
    exact = wilson(5 / 6, 6)
    assert (estimate.low, estimate.high) == pytest.approx((exact.low, exact.high), rel=1e-9)


def test_differences(one_seed: Analysis) -> None:
    # AUC 8/9 − 7/9; the V10 differ by 0, 0, ⅓ and the V01 by ⅓, 0, 0: var = (1/27 + 1/27) / 3
    row = find.difference(one_seed, "other", "north")
    assert (row.b, row.method) == ("fedavg", "DeLong 1988")
    assert row.difference.mean == pytest.approx(1 / 9, abs=1e-15)
    assert row.difference.high == pytest.approx(1 / 9 + Z * np.sqrt(2) / 9, rel=1e-12)
    assert row.p == pytest.approx(2 * norm.sf(1 / np.sqrt(2)), rel=1e-12)
    assert row.p_holm == pytest.approx(2 * known(row.p))  # north and all
    right = find.difference(one_seed, "other", "north", "accuracy")
    assert right.difference.mean == pytest.approx(1 / 6)
    assert (right.p, right.p_holm, right.method) == (1.0, 1.0, "McNemar, exact")
    assert len(one_seed.differences) == 4
