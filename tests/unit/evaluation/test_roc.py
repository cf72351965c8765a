"""ROC points and the band around them."""

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.metrics import roc_auc_score, roc_curve

from ucadi_flwr.evaluation.roc import MAX_POINTS, Band, band, roc


def binormal(seed: int, n: int, shift: float = 1.5) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    truth = np.arange(n) < n // 2
    return truth, rng.normal(size=n) + shift * truth


def test_a_short_curve_is_kept_whole() -> None:
    found = roc([1, 1, 0, 0], [0.9, 0.4, 0.6, 0.1])
    assert (found.fpr, found.sensitivity) == ([0, 0, 0.5, 0.5, 1], [0, 0.5, 0.5, 1, 1])


def test_a_long_curve_is_thinned_to_true_points_near_the_whole() -> None:
    truth, scores = binormal(0, 5000)
    found = roc(truth, scores)
    fpr, sensitivity, _ = roc_curve(truth, scores)
    assert len(fpr) > 1000
    assert 150 < len(found.fpr) <= MAX_POINTS
    whole = set(zip(fpr.tolist(), sensitivity.tolist(), strict=True))
    assert set(zip(found.fpr, found.sensitivity, strict=True)) <= whole
    assert (found.fpr[0], found.sensitivity[0]) == (0.0, 0.0)
    assert (found.fpr[-1], found.sensitivity[-1]) == (1.0, 1.0)
    assert np.all(np.diff(found.fpr) >= 0)
    area = np.trapezoid(found.sensitivity, found.fpr)
    assert area == pytest.approx(roc_auc_score(truth, scores), abs=0.002)
    assert len(roc(truth, scores, points=20).fpr) <= 20


@pytest.mark.parametrize("truth", [np.zeros(4), np.ones(4)])
def test_one_class_has_no_curve(truth: np.ndarray) -> None:
    assert roc(truth, np.arange(4)) is None
    none = band(truth, np.arange(4), draws=20, points=3)
    assert none == Band([0, 0.5, 1], None, None, None, 20, 20)


def test_a_band_reads_each_curve_as_fawcett_does() -> None:
    """With one patient every draw is the sample: FPR 0, ⅓, ⅔, 1 of a curve with a tie."""
    truth, scores = [1, 1, 0, 1, 0, 0], [0.9, 0.8, 0.7, 0.5, 0.5, 0.1]
    # corners (0, 0), (0, ⅔), (⅓, ⅔), (⅔, 1), (1, 1); half way on the tie's slope: ⅚
    found = band(truth, scores, ["p"] * 6, draws=5, points=7)
    wanted = [2 / 3, 2 / 3, 2 / 3, 5 / 6, 1, 1, 1]
    assert found.sensitivity == pytest.approx(wanted)
    assert found.low == pytest.approx(wanted)
    assert found.high == pytest.approx(wanted)


def test_a_band_holds_its_curve_and_knows_its_seed() -> None:
    truth, scores = binormal(1, 300)
    found = band(truth, scores, draws=200, seed=4, points=21)
    assert found == band(truth, scores, draws=200, seed=4, points=21)
    assert found != band(truth, scores, draws=200, seed=5, points=21)
    low, mean, high = (np.array(x) for x in (found.low, found.sensitivity, found.high))
    assert (low <= mean + 1e-3).all()  # where nearly every draw is 1, the mean is just below
    assert (mean <= high).all()
    assert (high - low)[2] > 0.1
    assert (np.diff(mean) >= 0).all()
    assert (low[-1], high[-1]) == (1.0, 1.0)
    assert found.dropped == 0


def test_a_band_covers_the_true_curve_pointwise() -> None:
    """Binormal, 75 + 75 cases, 150 draws of the test; standard error of a share: 0.02."""
    grid = np.linspace(0, 1, 11)[1:-1]
    true = norm.cdf(1.5 + norm.ppf(grid))
    held = np.zeros(9)
    for seed in range(150):
        found = band(*binormal(seed, 150), draws=100, seed=seed, points=11)
        low, high = np.array(found.low[1:-1]), np.array(found.high[1:-1])
        held += (low <= true) & (true <= high)
    assert (held[:5] / 150 > 0.88).all()  # FPR .1 to .5; beyond, the true curve is nearly 1
    assert 0.9 < held[:5].mean() / 150 < 0.98


def test_scans_of_one_patient_widen_the_band() -> None:
    truth, scores = binormal(2, 60)
    many = np.repeat(truth, 8), np.repeat(scores, 8)
    narrow = band(*many, draws=200, points=11)
    wide = band(*many, np.repeat(np.arange(60), 8), draws=200, points=11)
    assert wide.high[2] - wide.low[2] > 2 * (narrow.high[2] - narrow.low[2])


def test_a_number_of_points_is_2_to_200() -> None:
    for points in (1, 201):
        with pytest.raises(ValueError, match="2 to 200 points"):
            roc([0, 1], [0.1, 0.2], points)
        with pytest.raises(ValueError, match="2 to 200 points"):
            band([0, 1], [0.1, 0.2], points=points)
