"""McNemar's tests and Holm's adjustment against textbooks, statsmodels, and by hand."""

import numpy as np
import pytest
from scipy.stats import chi2

from ucadi_flwr.evaluation.paired import holm, mcnemar


def pairs(both: int, only_a: int, only_b: int, neither: int) -> tuple[np.ndarray, np.ndarray]:
    a = np.repeat([True, True, False, False], [both, only_a, only_b, neither])
    b = np.repeat([True, False, True, False], [both, only_a, only_b, neither])
    return a, b


# statsmodels 0.15.0: mcnemar([[both, only_a], [only_b, neither]], exact=True).pvalue. The first is
# Agresti's (Categorical Data Analysis, approval of the prime minister); the second and third are in
# Newcombe 1998 and in Altman et al. 2000, Statistics with Confidence, table 6.2.
@pytest.mark.parametrize(
    ("table", "difference", "p"),
    [
        ((794, 150, 86, 570), 0.04, 3.7159361395713866e-05),
        ((36, 12, 2, 0), 0.2, 0.012939453125),
        ((14, 5, 0, 22), 5 / 41, 0.0625),
        ((5, 1, 0, 4), 0.1, 1.0),
        ((7, 0, 0, 3), 0.0, 1.0),
    ],
)
def test_mcnemar_is_exact(table: tuple, difference: float, p: float) -> None:
    found = mcnemar(*pairs(*table))
    assert found.difference == pytest.approx(difference, abs=1e-15)
    assert found.p == pytest.approx(p, rel=1e-12)
    assert found.method == "McNemar, exact"


# Method 10's formula (Newcombe, Statistics in Medicine 17:2635, 1998) in a separate script, with
# the Wilson intervals of statsmodels 0.15.0. Tables: Newcombe's; Altman's; Fagerland, Lydersen &
# Laake's (Statistics in Medicine 33:2850, 2014); and those that show that there is a width without
# discordant pairs, and no end beyond 1.
@pytest.mark.parametrize(
    ("table", "low", "high"),
    [
        ((36, 12, 2, 0), 0.0569, 0.3404),
        ((14, 5, 0, 22), 0.0115, 0.2265),
        ((1, 1, 7, 12), -0.5069, -0.0256),
        ((36, 0, 0, 14), -0.0491, 0.0491),
        ((0, 50, 0, 0), 0.8991, 1.0),
        ((0, 0, 50, 0), -1.0, -0.8991),
        ((50, 0, 0, 0), -0.0713, 0.0713),
    ],
)
def test_newcombes_interval(table: tuple, low: float, high: float) -> None:
    found = mcnemar(*pairs(*table)).interval
    assert (found.low, found.high) == pytest.approx((low, high), abs=6e-5)


def test_durkalski_by_hand() -> None:
    # patient 1: 2 scans, A alone right on one: d = ½; 2: 4 scans, A alone on three, B alone on one:
    # d = ½; 3: 1 scan, B alone: d = −1; 4: 3 scans, both right: d = 0; 5: 1 scan, A alone: d = 1
    a = [1, 1, 1, 1, 1, 0, 0, 1, 1, 1, 1]
    b = [0, 1, 0, 0, 0, 1, 1, 1, 1, 1, 0]
    patients = [1, 1, 2, 2, 2, 2, 3, 4, 4, 4, 5]
    found = mcnemar(a, b, patients)
    d = np.array([0.5, 0.5, -1, 0, 1])
    assert found.difference == pytest.approx(0.2)
    assert found.p == pytest.approx(chi2.sf(1 / 2.5, 1), rel=1e-12)  # (Σd)² = 1, Σd² = 2.5
    half = 1.959963984540054 * np.sqrt(np.var(d, ddof=1) / 5)
    assert (found.interval.low, found.interval.high) == pytest.approx((0.2 - half, 0.2 + half))
    assert "Durkalski" in found.method
    names = np.array(list("?zyxwv"))[patients]
    assert mcnemar(a, b, names).p == pytest.approx(found.p, rel=1e-12)


def test_durkalski_with_ten_equal_scans_is_mcnemars_chi_square_of_patients() -> None:
    a, b = pairs(30, 14, 6, 10)
    patients = np.repeat(np.arange(60), 10)
    found = mcnemar(np.repeat(a, 10), np.repeat(b, 10), patients)
    assert found.p == pytest.approx(chi2.sf((14 - 6) ** 2 / (14 + 6), 1), rel=1e-12)
    assert found.difference == pytest.approx(8 / 60)


def test_patients_with_one_case_each_get_the_exact_test() -> None:
    a, b = pairs(30, 14, 6, 10)
    assert mcnemar(a, b, [f"P{i}" for i in range(60)]) == mcnemar(a, b)


def test_clusters_that_cannot_tell() -> None:
    none = mcnemar([1, 0, 1], [1, 0, 1], ["a", "a", "b"])
    assert (none.difference, none.interval, none.p) == (0.0, None, 1.0)
    one = mcnemar([1, 1, 1], [1, 0, 1], ["a", "a", "a"])
    assert (one.difference, one.interval, one.p) == (pytest.approx(1 / 3), None, None)


def test_durkalski_keeps_its_level() -> None:
    """1,000 draws of two equal models on 50 patients of 1 to 5 scans that are alike."""
    rng = np.random.default_rng(3)
    rejected = held = 0
    for _ in range(1000):
        patient = np.repeat(np.arange(50), rng.integers(1, 6, 50))
        own = rng.normal(size=50)[patient]
        a, b = (
            own + rng.normal(size=50)[patient] + rng.normal(size=len(patient)) > -1
            for _ in range(2)
        )
        found = mcnemar(a, b, patient)
        rejected += found.p < 0.05
        held += found.interval.low <= 0 <= found.interval.high
    assert 0.03 <= rejected / 1000 <= 0.07
    assert 0.93 <= held / 1000 <= 0.97


def test_pairs_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="3 cases of A, but 2 of B"):
        mcnemar([1, 0, 1], [1, 0])
    with pytest.raises(ValueError, match="one value a case"):
        mcnemar([], [])


def test_holm_by_hand() -> None:
    # sorted: .005 × 4 = .02, .01 × 3 = .03, .03 × 2 = .06, .04 × 1 = .04, raised to .06
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    # statsmodels 0.15.0: multipletests([…], method="holm")[1]
    assert holm([0.0004, 0.02, 0.02, 0.9, 0.049, 0.5]) == pytest.approx(
        [0.0024, 0.1, 0.1, 1.0, 0.147, 1.0]
    )


def test_holm_leaves_out_what_was_not_tested() -> None:
    found = holm([None, 0.02, None, 0.04])
    assert found[0] is None
    assert found[2] is None
    assert found[1::2] == pytest.approx([0.04, 0.04])
    assert holm([]) == []
    assert holm([None]) == [None]


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_what_is_no_p_value_is_refused(p: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([0.5, p])
