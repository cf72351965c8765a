"""One pass over the draws gives what the bootstrap of each figure gives, draw by draw."""

import numpy as np
import pytest

from ucadi_flwr.comparison import resampling
from ucadi_flwr.comparison.cases import Predictions
from ucadi_flwr.comparison.curves import mean_roc
from ucadi_flwr.comparison.probabilities import brier, calibration_bins, ece
from ucadi_flwr.evaluation import calibration
from ucadi_flwr.evaluation.intervals import bootstrap, resamples
from ucadi_flwr.evaluation.roc import band

RNG = np.random.default_rng(11)
PATIENTS = np.unique(RNG.integers(0, 40, 90), return_inverse=True)[1]
LABELS = RNG.integers(0, 2, 90)
SCORES = np.round(np.clip(RNG.normal(0.35 + 0.3 * LABELS, 0.2, (3, 90)), 0, 1), 2)  # with ties


def predictions(scores=SCORES, labels=LABELS, patients=PATIENTS):
    both = np.stack([1 - scores, scores], axis=2)
    return Predictions(tuple(range(len(scores))), labels, patients, both)


def test_the_draws_are_those_of_the_bootstrap():
    found = resampling.multiplicities(7, 5, 3)
    expected = [np.bincount(d, minlength=7) for d in resamples(np.arange(7), 5, 3)]
    assert found.tolist() == np.array(expected).tolist()
    assert (found.sum(axis=1) == 7).all()
    with pytest.raises(ValueError, match="read-only"):
        found[0, 0] = 1


def test_brier():
    found = brier(predictions(), 1)
    expected = bootstrap(
        lambda truth, *scores: np.mean([np.mean((s - truth) ** 2) for s in scores]),
        [LABELS, *SCORES],
        PATIENTS,
        draws=resampling.DRAWS,
    ).interval
    assert found.mean == pytest.approx(np.mean([calibration.brier(s, LABELS) for s in SCORES]))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), rel=1e-12)
    assert found.sd > 0


def test_ece_is_the_bootstrap_less_its_bias():
    found = ece(predictions(), 1)
    values = []

    def quick(score, truth):
        bins = np.minimum((score * 10 + 1e-9).astype(int), 9)
        return np.abs(np.bincount(bins, truth - score, 10)).sum() / len(score)

    def statistic(truth, *scores):
        values.append(float(np.mean([quick(s, truth) for s in scores])))
        return values[-1]

    assert quick(SCORES[0], LABELS) == pytest.approx(calibration.ece(SCORES[0], LABELS))

    limits = bootstrap(statistic, [LABELS, *SCORES], PATIENTS, draws=resampling.DRAWS).interval
    bias = np.mean(values) - found.mean
    assert bias > 0.005
    assert (found.low, found.high) == pytest.approx((limits.low - bias, limits.high - bias))
    assert found.low < found.mean < found.high


def test_ece_interval_holds_the_figure_and_stays_above_zero():
    rng = np.random.default_rng(12)
    for _ in range(20):
        scores = rng.random((1, 60))
        labels = (rng.random(60) < scores[0]).astype(int)
        found = ece(predictions(scores, labels, np.arange(60)), 1)
        assert 0.0 <= found.low <= found.mean <= found.high


def test_one_patient_has_no_interval():
    one = predictions(SCORES[:, :3], LABELS[:3], np.zeros(3, np.intp))
    assert brier(one, 1).low is None
    assert ece(one, 1).low is None


def test_band_of_one_seed_is_that_of_roc():
    found = mean_roc(predictions(SCORES[:1]), 1)
    expected = band(LABELS, SCORES[0], PATIENTS, draws=resampling.DRAWS)
    assert found.fpr == [0.0, *expected.fpr]
    assert found.low == pytest.approx([0.0, *expected.low], abs=1e-12)
    assert found.high == pytest.approx([0.0, *expected.high], abs=1e-12)


def test_curve_of_seeds_is_their_mean():
    found = mean_roc(predictions(), 1)
    each = [mean_roc(predictions(SCORES[[i]]), 1) for i in range(3)]
    assert found.tpr == pytest.approx(np.mean([one.tpr for one in each], axis=0))
    assert found.tpr[-1] == 1.0
    assert np.all(np.diff(found.tpr) >= 0)
    inside = [a <= t <= b for a, t, b in zip(found.low, found.tpr, found.high, strict=True)]
    assert np.mean(inside) > 0.95


def test_no_band_where_too_many_draws_have_one_class():
    labels = np.array([1, *[0] * 19])
    scores = np.linspace(1, 0, 20)[np.newaxis]
    found = mean_roc(predictions(scores, labels, np.arange(20)), 1)
    assert found.tpr[1] == 1.0
    assert set(found.low) == set(found.high) == {None}


def test_one_class_has_no_curve_but_calibration():
    ones = predictions(SCORES, np.ones(90, np.int64))
    zeros = predictions(SCORES, np.zeros(90, np.int64))
    assert mean_roc(ones, 1) is None
    assert mean_roc(zeros, 1) is None
    bins = calibration_bins(ones, 1)
    assert sum(b.cases for b in bins) == 270
    assert {b.fraction for b in bins} == {1.0}
