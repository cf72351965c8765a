"""The AUC by DeLong: the data of the paper, clusters, and borderline cases by hand."""

from dataclasses import asdict

import numpy as np
import pytest
from helpers.known import known
from helpers.one_model import area_of, difference_of, interval_of
from numpy.typing import ArrayLike
from scipy.stats import norm
from sklearn.metrics import roc_auc_score

from ucadi_flwr.evaluation.delong import auc_components
from ucadi_flwr.evaluation.intervals import AucEstimate, Interval

# DeLong, DeLong & Clarke-Pearson 1988: 43 women with ovarian cancer and bowel obstruction. Albumin,
# total protein, K-G score (higher is worse), 1 = died within two months of surgery. The data and
# the numbers are those of the SAS/STAT User's Guide, "The LOGISTIC Procedure", example "Comparing
# Receiver Operating Characteristic Curves" (SAS prints four decimals).
OVARIAN = np.fromstring(
    """3.0 5.8 10 0   3.2 6.3  5 1   3.9 6.8  3 1   2.8 4.8  6 0   3.2 5.8  3 1   0.9 4.0  5 0
       2.5 5.7  8 0   1.6 5.6  5 1   3.8 5.7  5 1   3.7 6.7  6 1   3.2 5.4  4 1   3.8 6.6  6 1
       4.1 6.6  5 1   3.6 5.7  5 1   4.3 7.0  4 1   3.6 6.7  4 0   2.3 4.4  6 1   4.2 7.6  4 0
       4.0 6.6  6 0   3.5 5.8  6 1   3.8 6.8  7 1   3.0 4.7  8 0   4.5 7.4  5 1   3.7 7.4  5 1
       3.1 6.6  6 1   4.1 8.2  6 1   4.3 7.0  5 1   4.3 6.5  4 1   3.2 5.1  5 1   2.6 4.7  6 1
       3.3 6.8  6 0   1.7 4.0  7 0   3.7 6.1  5 1   3.3 6.3  7 1   4.2 7.7  6 1   3.5 6.2  5 1
       2.9 5.7  9 0   2.1 4.8  7 1   2.8 6.2  8 0   4.0 7.0  7 1   3.3 5.7  6 1   3.7 6.9  5 1
       3.6 6.6  5 1""",
    sep=" ",
).reshape(43, 4)
TRUTH = OVARIAN[:, 3] == 1
SCORES = {"albumin": OVARIAN[:, 0], "protein": OVARIAN[:, 1], "K-G": 10 - OVARIAN[:, 2]}


@pytest.mark.parametrize(
    ("name", "area", "error"),
    [("albumin", 0.7366, 0.0927), ("protein", 0.6478, 0.1000), ("K-G", 0.7258, 0.1028)],
)
def test_areas_of_the_published_example(name: str, area: float, error: float) -> None:
    estimate = area_of(TRUTH, SCORES[name])
    assert estimate.auc == pytest.approx(area, abs=5e-5)
    assert np.sqrt(known(estimate.variance)) == pytest.approx(error, abs=5e-5)
    assert estimate.auc == pytest.approx(roc_auc_score(TRUTH, SCORES[name]), abs=1e-15)
    assert (estimate.positive_patients, estimate.negative_patients) == (31, 12)


@pytest.mark.parametrize(
    ("name", "difference", "low", "high", "p"),
    [
        ("albumin", 0.0108, -0.1761, 0.1976, 0.9102),
        ("protein", -0.0780, -0.2830, 0.1271, 0.4561),
    ],
)
def test_differences_of_the_published_example(
    name: str, difference: float, low: float, high: float, p: float
) -> None:
    result = difference_of(TRUTH, SCORES[name], SCORES["K-G"])
    assert result.difference == pytest.approx(difference, abs=5e-5)
    interval = known(result.interval)
    assert interval.low == pytest.approx(low, abs=5e-5)
    assert interval.high == pytest.approx(high, abs=5e-5)
    assert result.p == pytest.approx(p, abs=5e-5)
    assert result.method == "DeLong 1988"


def test_clusters_by_hand() -> None:
    # patient a: positives 3, 1 and negative 0; b: positive 4 and negative 2; M = 3, N = 2
    # ψ of 3, 1, 4 against 0, 2: V10 = 1, ½, 1; V01 of 0, 2 = 1, ⅔; AUC = 5/6
    # X_a − 2·5/6 = −1/6, X_b − 5/6 = 1/6, Y_a − 5/6 = 1/6, Y_b − 5/6 = −1/6; I = I10 = I01 = 2
    # var = 2·(2/36)/9 + 2·(2/36)/4 + 2·2·(−2/36)/6 = 1/324·(4 + 9 − 12) = 1/324
    truth, scores = [1, 1, 0, 1, 0], [3, 1, 0, 4, 2]
    estimate = area_of(truth, scores, ["a", "a", "a", "b", "b"])
    assert estimate.auc == pytest.approx(5 / 6)
    assert estimate.variance == pytest.approx(1 / 324, rel=1e-12)


def test_one_scan_per_patient_is_delong() -> None:
    names = [f"P{i:02}" for i in range(43)]
    for scores in SCORES.values():
        assert area_of(TRUTH, scores, names) == area_of(TRUTH, scores)
        mixed = np.random.default_rng(0).permutation(43)  # another order of summation
        other = area_of(TRUTH, scores, mixed)
        assert other.variance == pytest.approx(area_of(TRUTH, scores).variance, rel=1e-14)
    clustered = difference_of(TRUTH, SCORES["albumin"], SCORES["K-G"], names)
    assert clustered == difference_of(TRUTH, SCORES["albumin"], SCORES["K-G"])


def test_ten_identical_scans_of_a_patient_count_once() -> None:
    """Exactly, because Obuchowski's factors are of the number of patients, not of scans."""
    once = area_of(TRUTH, SCORES["albumin"])
    patients = np.repeat(np.arange(43), 10)
    truth, albumin, kg = (
        np.repeat(array, 10) for array in (TRUTH, SCORES["albumin"], SCORES["K-G"])
    )
    estimate = area_of(truth, albumin, patients)
    assert estimate.auc == once.auc
    assert estimate.variance == pytest.approx(once.variance, rel=1e-12)
    assert asdict(interval_of(estimate)) == pytest.approx(asdict(interval_of(once)), rel=1e-12)
    naive = area_of(truth, albumin)
    # without clusters, S10/M has 10M − 1 in place of M − 1: about ten times too small
    assert known(naive.variance) / known(once.variance) == pytest.approx(0.1, rel=0.1)
    paired = difference_of(truth, albumin, kg, patients)
    assert paired.p == pytest.approx(difference_of(TRUTH, SCORES["albumin"], SCORES["K-G"]).p)
    assert "Obuchowski 1997" in paired.method


def test_the_estimate_depends_only_on_the_ranks() -> None:
    score = SCORES["albumin"]
    estimate = area_of(TRUTH, score)
    assert area_of(TRUTH, np.exp(3 * score) - 7) == estimate
    back = area_of(~TRUTH, -score)
    assert (back.auc, back.variance) == pytest.approx((estimate.auc, estimate.variance), rel=1e-15)
    assert difference_of(TRUTH, score, 5 + score**3).difference == 0.0


@pytest.mark.parametrize("truth", [[0, 0, 0], [True, True, True]])
def test_one_class_has_no_auc(truth: list[int]) -> None:
    assert auc_components(truth, np.array([0.1, 0.2, 0.3])) is None


def test_one_patient_of_a_class_has_an_auc_but_no_interval() -> None:
    estimate = area_of([1, 1, 0, 0], [0.3, 0.6, 0.5, 0.1], ["a", "a", "b", "c"])
    assert estimate == AucEstimate(0.75, None, 1, 2)
    assert estimate.interval() is None
    paired = difference_of([1, 0, 0], [0.9, 0.2, 0.1], [0.1, 0.2, 0.3])
    assert (paired.difference, paired.interval, paired.p) == (1.0, None, None)


def test_a_perfect_sample_has_an_interval_with_a_width() -> None:
    truth = np.arange(200) < 100
    perfect = area_of(truth, truth + np.linspace(0, 0.5, 200))
    assert (perfect.auc, perfect.variance) == (1.0, 0.0)
    of_perfect = interval_of(perfect)
    assert of_perfect.low == pytest.approx(0.98045, abs=5e-6)
    assert of_perfect.high == 1.0
    worst = interval_of(area_of(~truth, truth + np.linspace(0, 0.5, 200)))
    assert (worst.low, worst.high) == pytest.approx((0.0, 1 - of_perfect.low))
    # ten patients with ten scans each do not count as a hundred patients
    few = area_of(truth, truth + np.linspace(0, 0.5, 200), np.arange(200) // 10)
    assert few.interval() == AucEstimate(1.0, 0.0, 10, 10).interval()
    assert interval_of(few).low == pytest.approx(0.80021, abs=5e-6)
    constant = area_of(truth, np.zeros(200))
    assert (constant.auc, constant.variance) == (0.5, 0.0)
    flat = interval_of(constant)
    assert flat.low == pytest.approx(1 - flat.high)
    assert flat.low == pytest.approx(0.42, abs=0.005)


@pytest.mark.parametrize(("m", "n"), [(100, 100), (10, 10), (20, 180), (2, 2)])
def test_newcombes_interval_solves_its_equation(m: int, n: int) -> None:
    """(θ − AUC)² = z² var(θ), var by Hanley & McNeil 1982 with both sizes at their mean."""
    for area in (1.0, 0.5):
        low = interval_of(AucEstimate(area, 0.0, m, n)).low
        q1, q2 = low / (2 - low), 2 * low**2 / (1 + low)
        others = (m + n) / 2 - 1
        variance = (low * (1 - low) + others * (q1 + q2 - 2 * low**2)) / (m * n)
        assert (area - low) ** 2 == pytest.approx(norm.ppf(0.975) ** 2 * variance, rel=1e-6)


def test_models_without_a_difference() -> None:
    score = SCORES["protein"]
    same = difference_of(TRUTH, score, score)
    assert (same.difference, same.interval, same.p) == (0.0, Interval(0.0, 0.0), 1.0)
    truth = np.arange(20) < 10
    rng = np.random.default_rng(0)
    perfect = [truth + rng.random(20) / 2 for _ in range(2)]  # both have AUC 1, but another ranking
    reordered = difference_of(truth, *perfect)
    assert (reordered.difference, reordered.interval, reordered.p) == (0.0, None, 1.0)
    constant = difference_of(truth, perfect[0], np.zeros(20))
    assert (constant.difference, constant.interval, constant.p) == (0.5, None, None)


def test_a_difference_stays_within_one() -> None:
    truth = np.arange(8) < 4
    result = difference_of(truth, [5, 6, 7, 3.5, 1, 2, 3, 4], [1, 2, 3, 4, 5, 6, 7, 3.5])
    assert result.difference == 0.875
    interval = known(result.interval)
    assert interval.high == 1.0
    assert interval.low < result.difference


def test_large_integers_are_exact() -> None:
    """40,000 scans, nearly all of one patient with both classes: integers up to 2MN · scans."""
    rng = np.random.default_rng(0)
    truth, scores = rng.random(40_000) < 0.5, rng.random(40_000)
    components = known(auc_components(truth, scores, np.minimum(np.arange(40_000), 3)))
    assert components.positive.sum() == 0
    assert components.negative.sum() == 0
    assert known(components.variance()) >= 0


@pytest.mark.parametrize(
    ("truth", "scores", "clusters", "message"),
    [
        ([0, 1, 2], [0.1, 0.2, 0.3], None, "True or False"),
        ([], [], None, "one value for each case"),
        ([[0, 1]], [0.1, 0.2], None, "one value for each case"),
        ([0, 1], [0.1], None, "2 cases, but scores"),
        ([0, 1], [0.1, np.nan], None, "not finite"),
        ([0, 1], [0.1, np.inf], None, "not finite"),
        ([0, 1], [0.1, 0.2], ["a"], "2 cases, but clusters"),
    ],
)
def test_invalid_arrays_are_refused(
    truth: ArrayLike, scores: ArrayLike, clusters: ArrayLike | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        area_of(truth, scores, clusters)


@pytest.mark.parametrize("level", [0.0, 1.0, 95, np.nan])
def test_a_level_is_between_0_and_1(level: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        area_of(TRUTH, SCORES["albumin"]).interval(level)
