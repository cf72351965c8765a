"""Proportions over seeds: Wilson's interval where it applies, and the coverage elsewhere."""

import numpy as np
import pytest
from helpers.known import known
from numpy.typing import NDArray
from scipy.stats import norm

from ucadi_flwr.comparison.rates import Rate, rate
from ucadi_flwr.evaluation.intervals import wilson


def proportion_of(hits: NDArray[np.bool_], patients: NDArray[np.intp]) -> Rate:
    """Of hits `(seeds, N)` where every case counts."""
    return known(rate(hits, np.ones_like(hits), patients))


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (1, 1), (0, 9), (9, 9), (3, 9), (46, 48)])
def test_one_seed_and_one_case_per_patient_is_wilson(hits: int, n: int) -> None:
    row = np.zeros((1, n), np.bool_)
    row[0, :hits] = True
    interval = proportion_of(row, np.arange(n)).interval()
    exact = wilson(hits / n, n)
    assert (interval.low, interval.high) == pytest.approx((exact.low, exact.high), abs=1e-12)


def test_one_patient_is_one_case() -> None:
    row = np.array([[True, True, False]])
    proportion = proportion_of(row, np.zeros(3, np.intp))
    assert proportion.mean == pytest.approx(2 / 3)
    expected = wilson(2 / 3, 1)
    assert proportion.interval() == expected


def test_equal_patients_give_no_variance() -> None:
    """Each has two scans, one of them right: the interval is then that of ten patients."""
    row = np.array([[True, False] * 10])
    proportion = proportion_of(row, np.arange(20) // 2)
    assert proportion.interval() == wilson(0.5, 10)


def test_the_effective_number_is_at_most_the_number_of_all_cases() -> None:
    first = np.arange(20) % 2 == 0
    rows = np.array([first, ~first])
    rows[1, 0] = True
    proportion = proportion_of(rows, np.arange(20))
    assert proportion.interval() == wilson(21 / 40, 40)


def test_undefined_in_a_seed_is_undefined() -> None:
    counted = np.array([[True, False], [False, False]])
    assert rate(counted, counted, np.arange(2)) is None
    assert rate(np.zeros((1, 0), bool), np.zeros((1, 0), bool), np.zeros(0, np.intp)) is None


def test_f1_of_1_has_an_interval() -> None:
    row = np.ones((2, 30), np.bool_)
    f1 = proportion_of(row, np.arange(30)).as_f1()
    low = wilson(1.0, 30).low
    assert (f1.mean, f1.high, f1.sd) == (1.0, 1.0, 0.0)
    assert f1.low == pytest.approx(2 * low / (1 + low), rel=1e-12)


@pytest.mark.parametrize(
    ("patients", "scans", "value", "held_in_long_run"),
    [(50, 1, 0.9, 0.934), (50, 1, 0.95, 0.942), (100, 1, 0.98, 0.969), (60, 3, 0.9, 0.944)],
)
def test_coverage_with_correlated_seeds(
    patients: int, scans: int, value: float, held_in_long_run: float
) -> None:
    """500 test sets, compared with the coverage in 4,000; three standard errors are 0.03."""
    rng = np.random.default_rng(9)
    index = np.repeat(np.arange(patients), scans)
    held = 0
    for _ in range(500):
        patient = np.sqrt(0.3) * rng.normal(size=patients)[index]
        case = patient + np.sqrt(0.3) * rng.normal(size=len(index))
        hits = case + np.sqrt(0.4) * rng.normal(size=(3, len(index))) < norm.ppf(value)
        interval = proportion_of(hits, index).interval()
        held += interval.low <= value <= interval.high
    assert held / 500 == pytest.approx(held_in_long_run, abs=0.03)


def test_coverage_of_f1() -> None:
    """Precision and sensitivity are .85, so F1 is .85; about 60 positives and three seeds."""
    rng = np.random.default_rng(10)
    n, held = 150, 0
    positives = np.arange(n) % 5 < 2
    called_of = np.where(positives, 0.85, 0.15 * 2 / 3)  # TP = .34 n, FP = .06 n
    expected = 2 * 0.85 * 0.4 / (0.4 + 0.85 * 0.4 + 0.06)
    for _ in range(500):
        latent = np.sqrt(0.6) * rng.normal(size=n) + np.sqrt(0.4) * rng.normal(size=(3, n))
        called = latent < norm.ppf(called_of)
        truth = np.broadcast_to(positives, called.shape)
        f1 = known(rate(called & truth, called | truth, np.arange(n))).as_f1()
        held += known(f1.low) <= expected <= known(f1.high)
    assert 0.92 <= held / 500 <= 0.98
