"""Reliability, ECE and Brier score: by hand and compared with scikit-learn."""

import numpy as np
import pytest
from sklearn.calibration import calibration_curve

from ucadi_flwr.evaluation.calibration import brier, ece, reliability

SCORES = np.array([0.0, 0.1, 0.3, 0.3, 0.45, 0.8, 0.9, 1.0])
TRUTH = np.array([0, 0, 1, 0, 0, 1, 1, 1], np.bool_)


def test_bins_by_hand() -> None:
    rows = reliability(SCORES, TRUTH, bins=4)
    assert [row.count for row in rows] == [2, 3, 0, 3]
    assert [(row.low, row.high) for row in rows] == [(0, 0.25), (0.25, 0.5), (0.5, 0.75), (0.75, 1)]
    assert [row.mean for row in rows] == [0.05, pytest.approx(0.35), None, pytest.approx(0.9)]
    assert [row.observed for row in rows] == [0, 1 / 3, None, 1]


def test_ece_by_hand() -> None:
    # 2/8·|0 − .05| + 3/8·|⅓ − .35| + 3/8·|1 − .9| = .0125 + .00625 + .0375
    assert ece(SCORES, TRUTH, bins=4) == pytest.approx(0.05625)
    assert ece(SCORES, TRUTH, bins=1) == pytest.approx(abs(0.5 - SCORES.mean()))


def test_brier_by_hand() -> None:
    # (0 + .01 + .49 + .09 + .2025 + .04 + .01 + 0) / 8
    assert brier(SCORES, TRUTH) == pytest.approx(0.8425 / 8)
    assert brier([0.2, 0.4], [0, 0]) == pytest.approx(0.1)  # one class only
    assert brier([1, 1], [1, 1]) == 0.0


def test_an_edge_belongs_to_the_bin_above_it_and_1_to_the_last() -> None:
    tenths = [k / 10 for k in range(11)]
    rows = reliability(tenths, np.zeros(11), bins=10)
    assert [row.count for row in rows] == [1] * 9 + [2]


def test_filled_bins_are_those_of_scikit_learn() -> None:
    rng = np.random.default_rng(0)
    scores = rng.random(500) ** 3
    truth = rng.random(500) < scores
    rows = [row for row in reliability(scores, truth) if row.count]
    observed, mean = calibration_curve(truth, scores, n_bins=10)
    assert [row.observed for row in rows] == pytest.approx(observed)
    assert [row.mean for row in rows] == pytest.approx(mean)
    assert sum(row.count for row in rows) == 500
    assert ece(scores, truth) < 0.4 * np.sqrt(10 / 500)
    assert ece(np.sqrt(scores), truth) > 0.1


@pytest.mark.parametrize(
    ("scores", "bins", "message"),
    [
        ([0.1, 1.1], 10, "between 0 and 1"),
        ([-0.1, 0.1], 10, "between 0 and 1"),
        ([0.1, 0.2, 0.3], 10, "2 cases, but scores"),
        ([0.1, 0.2], 0, "number of bins must be at least 1"),
    ],
)
def test_invalid_probabilities_are_refused(scores: list[float], bins: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        reliability(scores, [0, 1], bins)
