"""All draws together give the same intervals as a bootstrap of each measure, draw by draw."""

import numpy as np
import pytest
from helpers.known import known
from helpers.resampled import bootstrap
from helpers.scored import predictions
from numpy.typing import NDArray
from scipy.stats import binom

from ucadi_flwr.comparison import resampling
from ucadi_flwr.comparison.curves import mean_roc
from ucadi_flwr.comparison.probabilities import brier, calibration_bins, ece
from ucadi_flwr.evaluation import calibration

RNG = np.random.default_rng(11)
PATIENTS = np.unique(RNG.integers(0, 40, 90), return_inverse=True)[1]
LABELS = RNG.integers(0, 2, 90)
SCORES = np.round(np.clip(RNG.normal(0.35 + 0.3 * LABELS, 0.2, (3, 90)), 0, 1), 2)  # with ties


DATA = predictions(LABELS, SCORES, PATIENTS)


def test_a_draw_has_as_many_patients_and_each_is_equally_likely() -> None:
    counts = resampling.multiplicities(7, 3000, 3)
    assert (counts.sum(axis=1) == 7).all()
    assert counts.sum(axis=0) == pytest.approx(np.full(7, 3000), rel=0.05)
    assert np.bincount(counts[:, 0])[:3] / 3000 == pytest.approx(
        binom.pmf([0, 1, 2], 7, 1 / 7), abs=0.03
    )
    assert not np.array_equal(counts, resampling.multiplicities(7, 3000, 4))
    with pytest.raises(ValueError, match="read-only"):
        counts[0, 0] = 1


def test_a_resampled_mean_is_binomial(monkeypatch: pytest.MonkeyPatch) -> None:
    """With 40 ones in 100 cases, the quantiles are 31 and 50 of 100."""
    monkeypatch.setattr(resampling, "DRAWS", 4000)
    ones = (np.arange(100) < 40).astype(np.float64)
    limits = resampling.percentile(resampling.sums(ones) / 100)
    assert (limits.low, limits.high) == pytest.approx((0.31, 0.50), abs=0.011)


def test_brier() -> None:
    estimate = brier(DATA, 1)
    expected = bootstrap(
        lambda truth, *scores: np.mean([np.mean((s - truth) ** 2) for s in scores]),
        [LABELS, *SCORES],
        PATIENTS,
        draws=resampling.DRAWS,
    )
    assert estimate.mean == pytest.approx(np.mean([calibration.brier(s, LABELS) for s in SCORES]))
    assert (estimate.low, estimate.high) == pytest.approx((expected.low, expected.high), rel=1e-12)
    assert known(estimate.sd) > 0


def test_the_interval_of_the_ece_is_the_bootstraps_minus_its_bias() -> None:
    estimate = ece(DATA, 1)
    values: list[float] = []

    def quick(score: NDArray[np.float64], truth: NDArray[np.int64]) -> float:
        bins = np.minimum((score * 10 + 1e-9).astype(int), 9)
        return float(np.abs(np.bincount(bins, truth - score, 10)).sum() / len(score))

    def statistic(truth: NDArray[np.int64], *scores: NDArray[np.float64]) -> float:
        values.append(float(np.mean([quick(s, truth) for s in scores])))
        return values[-1]

    assert quick(SCORES[0], LABELS) == pytest.approx(calibration.ece(SCORES[0], LABELS))

    limits = bootstrap(statistic, [LABELS, *SCORES], PATIENTS, draws=resampling.DRAWS)
    bias = np.mean(values) - known(estimate.mean)
    assert bias > 0.005
    assert (estimate.low, estimate.high) == pytest.approx((limits.low - bias, limits.high - bias))
    assert known(estimate.low) < known(estimate.mean) < known(estimate.high)


def test_the_interval_of_the_ece_contains_it_and_is_not_below_zero() -> None:
    rng = np.random.default_rng(12)
    for _ in range(20):
        scores = rng.random((1, 60))
        labels = (rng.random(60) < scores[0]).astype(int)
        estimate = ece(predictions(labels, scores), 1)
        assert 0.0 <= known(estimate.low) <= known(estimate.mean) <= known(estimate.high)


def test_one_patient_has_no_interval() -> None:
    one = predictions(LABELS[:3], SCORES[:, :3], np.zeros(3))
    assert brier(one, 1).low is None
    assert ece(one, 1).low is None


def test_one_class_has_no_roc_curve_but_calibration_bins() -> None:
    ones = predictions(np.ones(90), SCORES, PATIENTS)
    zeros = predictions(np.zeros(90), SCORES, PATIENTS)
    assert mean_roc(ones, 1) is None
    assert mean_roc(zeros, 1) is None
    bins = calibration_bins(ones, 1)
    assert sum(b.cases for b in bins) == 270
    assert {b.fraction for b in bins} == {1.0}
