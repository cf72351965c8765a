"""McNemar's test and Holm's adjustment, compared with textbooks and statsmodels, and by hand."""

from itertools import product

import numpy as np
import pytest
from helpers.known import known
from scipy.stats import binomtest

from ucadi_flwr.evaluation.paired import holm, mcnemar, sign_flips


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
def test_mcnemar_is_exact(table: tuple[int, int, int, int], difference: float, p: float) -> None:
    result = mcnemar(*pairs(*table))
    assert result.difference == pytest.approx(difference, abs=1e-15)
    assert result.p == pytest.approx(p, rel=1e-12)
    assert result.method == "McNemar, exact"


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
def test_newcombes_interval(table: tuple[int, int, int, int], low: float, high: float) -> None:
    interval = known(mcnemar(*pairs(*table)).interval)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=6e-5)


def test_pairs_of_unequal_length_are_refused() -> None:
    with pytest.raises(ValueError, match="3 cases of A, but 2 of B"):
        mcnemar([1, 0, 1], [1, 0])
    with pytest.raises(ValueError, match="one value for each case"):
        mcnemar([], [])


def test_sign_flips_by_hand() -> None:
    # ±3 ±1 ±1: sums 5, 3, 3, 1 and their negatives; six of eight are at least 3 from 0
    assert sign_flips(np.array([3, -1, 0, 1])) == pytest.approx(6 / 8, rel=1e-15)
    assert sign_flips(np.array([3, 1, 1])) == pytest.approx(2 / 8, rel=1e-15)
    assert sign_flips(np.zeros(4, np.int64)) == 1.0


def test_sign_flips_compared_with_all_changes_of_signs() -> None:
    rng = np.random.default_rng(13)
    for _ in range(20):
        gains = rng.integers(-4, 5, 9)
        sums = [abs(np.dot(signs, gains)) for signs in product((-1, 1), repeat=9)]
        expected = np.mean(np.array(sums) >= abs(gains.sum()))
        assert sign_flips(gains) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 1), (5, 0), (12, 4), (40, 22)])
@pytest.mark.parametrize("size", [1, 3])
def test_gains_of_one_size_give_mcnemars_test(only_a: int, only_b: int, size: int) -> None:
    gains = np.array([size] * only_a + [-size] * only_b + [0] * 7)
    exact = binomtest(only_a, only_a + only_b).pvalue
    assert sign_flips(gains) == pytest.approx(min(1.0, exact), rel=1e-12)


def test_holm_by_hand() -> None:
    # sorted: .005 × 4 = .02, .01 × 3 = .03, .03 × 2 = .06, .04 × 1 = .04, raised to .06
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    # statsmodels 0.15.0: multipletests([…], method="holm")[1]
    assert holm([0.0004, 0.02, 0.02, 0.9, 0.049, 0.5]) == pytest.approx(
        [0.0024, 0.1, 0.1, 1.0, 0.147, 1.0]
    )


def test_holm_does_not_count_none() -> None:
    adjusted = holm([None, 0.02, None, 0.04])
    assert adjusted[0] is None
    assert adjusted[2] is None
    assert adjusted[1::2] == pytest.approx([0.04, 0.04])
    assert holm([]) == []
    assert holm([None]) == [None]


@pytest.mark.parametrize("p", [-0.1, 1.1, float("nan")])
def test_invalid_p_values_are_refused(p: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm([0.5, p])
