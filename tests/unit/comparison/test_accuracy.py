"""The difference of accuracies: the exact sign-flip test, McNemar's test, and the interval."""

import numpy as np
import pytest

from ucadi_flwr.comparison.accuracy import accuracy_difference
from ucadi_flwr.comparison.cases import Predictions
from ucadi_flwr.evaluation.paired import mcnemar


def right(rows, patients=None):
    """Predictions that are right where ``rows`` `(seeds, N)` is true; all cases are of class 1."""
    rows = np.atleast_2d(np.asarray(rows, np.float64))
    index = np.arange(rows.shape[1]) if patients is None else np.asarray(patients)
    both = np.stack([1 - rows, rows], axis=2)
    return Predictions(tuple(range(len(rows))), np.ones(rows.shape[1], np.int64), index, both)


def test_one_seed_is_mcnemar():
    a, b = [1, 1, 1, 1, 0, 1, 0], [1, 0, 0, 1, 1, 0, 0]
    exact = mcnemar(a, b)
    estimate, p, method = accuracy_difference(right(a), right(b))
    assert (estimate.mean, p, method) == (exact.difference, exact.p, exact.method)
    assert (estimate.low, estimate.high) == (exact.interval.low, exact.interval.high)
    assert estimate.sd is None


def test_seeds_by_hand():
    a = [[1, 1, 1, 0], [1, 1, 0, 0]]
    b = [[1, 0, 0, 0], [0, 1, 1, 0]]
    # the gains of the patients are 1, 1, 0 (1 − 1) and 0, of eight decisions
    estimate, p, method = accuracy_difference(right(a), right(b))
    assert estimate.mean == 0.25
    assert estimate.sd == pytest.approx(np.std([0.5, 0.0], ddof=1))
    assert p == pytest.approx(0.5)
    assert method == "sign flips over patients, exact, mean of 2 seeds"
    assert -1.0 <= estimate.low < 0.25 < estimate.high <= 1.0


def test_patients_have_the_weight_of_their_scans():
    """The difference is that of the two accuracies, not the mean over patients."""
    a, b = [1, 1, 1, 0], [0, 0, 1, 1]
    estimate, p, method = accuracy_difference(right(a, [0, 0, 0, 1]), right(b, [0, 0, 0, 1]))
    assert estimate.mean == 0.25
    assert p == 1.0  # of 2 and −1: sums 3, 1
    assert method == "sign flips over patients, exact"


def test_the_same_cases_right_give_no_interval():
    rows = [[1, 1, 0, 1], [1, 0, 0, 1]]
    estimate, p, _ = accuracy_difference(right(rows), right(rows))
    assert (estimate.mean, estimate.low, estimate.high, p) == (0.0, None, None, 1.0)


def test_a_strategy_that_is_always_right_has_an_interval():
    rows = np.ones((2, 30))
    other = rows.copy()
    other[0, :6] = 0
    estimate, p, _ = accuracy_difference(right(rows), right(other))
    assert estimate.mean == pytest.approx(0.1)
    assert p == pytest.approx(2 / 2**6)
    assert estimate.low < 0.1 < estimate.high


def test_size_and_coverage_with_correlated_seeds_and_scans():
    """Two equal strategies, three seeds, 60 patients with one to three scans: 500 test sets."""
    rng = np.random.default_rng(14)
    rejected = held = 0
    for _ in range(500):
        patients = np.repeat(np.arange(60), rng.integers(1, 4, 60))
        n = len(patients)
        case = 0.6 * rng.normal(size=60)[patients] + 0.4 * rng.normal(size=n)

        def hits(case=case, n=n):
            recipe = case + 0.4 * rng.normal(size=n)
            return recipe + 0.5 * rng.normal(size=(3, n)) < 0.9

        estimate, p, _ = accuracy_difference(right(hits(), patients), right(hits(), patients))
        rejected += p < 0.05
        held += estimate.low is None or estimate.low <= 0 <= estimate.high
    assert 0.015 <= rejected / 500 <= 0.07
    assert 0.91 <= held / 500 <= 0.97
