"""The difference of accuracies: the exact sign-flip test, McNemar's test, and the interval."""

import numpy as np
import pytest
from helpers.known import known
from helpers.scored import predictions
from numpy.typing import ArrayLike, NDArray

from ucadi_flwr.comparison.accuracy import accuracy_difference
from ucadi_flwr.comparison.cases import Predictions
from ucadi_flwr.evaluation.paired import mcnemar


def right(rows: ArrayLike, patients: ArrayLike | None = None) -> Predictions:
    """Predictions that are right where ``rows`` `(seeds, N)` is true; all cases are of class 1."""
    scores = np.asarray(rows, np.float64)
    return predictions(np.ones(scores.shape[-1], np.int64), scores, patients)


def test_one_seed_is_mcnemar() -> None:
    a, b = [1, 1, 1, 1, 0, 1, 0], [1, 0, 0, 1, 1, 0, 0]
    exact = mcnemar(a, b)
    interval = known(exact.interval)
    estimate, p, method = accuracy_difference(right(a), right(b))
    assert (estimate.mean, p, method) == (exact.difference, exact.p, exact.method)
    assert (estimate.low, estimate.high) == (interval.low, interval.high)
    assert estimate.sd is None


def test_seeds_by_hand() -> None:
    a = [[1, 1, 1, 0], [1, 1, 0, 0]]
    b = [[1, 0, 0, 0], [0, 1, 1, 0]]
    # the gains of the patients are 1, 1, 0 (1 − 1) and 0, of eight decisions
    estimate, p, method = accuracy_difference(right(a), right(b))
    assert estimate.mean == 0.25
    assert estimate.sd == pytest.approx(np.std([0.5, 0.0], ddof=1))
    assert p == pytest.approx(0.5)
    assert method == "sign flips over patients, exact, mean of 2 seeds"
    assert -1.0 <= known(estimate.low) < 0.25 < known(estimate.high) <= 1.0


def test_patients_have_the_weight_of_their_scans() -> None:
    """The difference is that of the two accuracies, not the mean over patients."""
    a, b = [1, 1, 1, 0], [0, 0, 1, 1]
    estimate, p, method = accuracy_difference(right(a, [0, 0, 0, 1]), right(b, [0, 0, 0, 1]))
    assert estimate.mean == 0.25
    assert p == 1.0  # of 2 and −1: sums 3, 1
    assert method == "sign flips over patients, exact"


def test_the_same_cases_right_give_no_interval() -> None:
    rows = [[1, 1, 0, 1], [1, 0, 0, 1]]
    estimate, p, _ = accuracy_difference(right(rows), right(rows))
    assert (estimate.mean, estimate.low, estimate.high, p) == (0.0, None, None, 1.0)


def test_a_strategy_that_is_always_right_has_an_interval() -> None:
    rows = np.ones((2, 30))
    other = rows.copy()
    other[0, :6] = 0
    estimate, p, _ = accuracy_difference(right(rows), right(other))
    assert estimate.mean == pytest.approx(0.1)
    assert p == pytest.approx(2 / 2**6)
    assert known(estimate.low) < 0.1 < known(estimate.high)


def test_size_and_coverage_with_correlated_seeds_and_scans() -> None:
    """Two equal strategies, three seeds, 60 patients with one to three scans: 500 test sets."""
    rng = np.random.default_rng(14)
    rejected = held = 0
    for _ in range(500):
        patients = np.repeat(np.arange(60), rng.integers(1, 4, 60))
        n = len(patients)
        case = 0.6 * rng.normal(size=60)[patients] + 0.4 * rng.normal(size=n)

        def hits(case: NDArray[np.float64] = case, n: int = n) -> NDArray[np.bool_]:
            recipe = case + 0.4 * rng.normal(size=n)
            return recipe + 0.5 * rng.normal(size=(3, n)) < 0.9

        estimate, p, _ = accuracy_difference(right(hits(), patients), right(hits(), patients))
        rejected += known(p) < 0.05
        held += estimate.low is None or estimate.low <= 0 <= known(estimate.high)
    assert 0.015 <= rejected / 500 <= 0.07
    assert 0.91 <= held / 500 <= 0.97
