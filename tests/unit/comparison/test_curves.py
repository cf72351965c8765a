"""The mean ROC curve: its points as Fawcett defines them, and the coverage of its band."""

import numpy as np
import pytest
from helpers.known import known
from helpers.scored import predictions
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.metrics import roc_auc_score, roc_curve

from ucadi_flwr.comparison import resampling
from ucadi_flwr.comparison.cases import Predictions
from ucadi_flwr.comparison.curves import mean_roc
from ucadi_flwr.results.analysis import Roc


def binormal(
    seed: int, n: int, shift: float = 1.5
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    rng = np.random.default_rng(seed)
    labels = (np.arange(n) < n // 2).astype(int)
    return labels, rng.normal(size=n) + shift * labels


def roc_of(scores: Predictions) -> Roc:
    return known(mean_roc(scores, 1))


def at(roc: Roc, fpr: float, line: str = "tpr") -> float:
    """The value of a line at one FPR of the grid; where it is vertical, at its upper end."""
    values: list[float] = getattr(roc, line)
    return dict(zip(roc.fpr, values, strict=True))[fpr]


def test_a_curve_has_fawcetts_points() -> None:
    """Corners (0, 0), (0, ⅔), (⅓, ⅔), (⅔, 1), (1, 1); in the middle of the slope of the tie: ⅚."""
    labels, scores = [1, 1, 0, 1, 0, 0], [0.9, 0.8, 0.7, 0.5, 0.5, 0.1]
    roc = roc_of(predictions(labels, scores, [0] * 6))  # one patient: every draw is the sample
    for line in ("tpr", "low", "high"):
        for fpr, sensitivity in ((0.0, 2 / 3), (0.33, 2 / 3), (0.5, 5 / 6), (0.67, 1), (1.0, 1)):
            assert at(roc, fpr, line) == pytest.approx(sensitivity)
    assert (roc.fpr[0], roc.tpr[0], roc.low[0], roc.high[0]) == (0, 0, 0, 0)


def test_a_curve_is_that_of_scikit_learn_with_the_same_area() -> None:
    labels, scores = binormal(0, 600)
    roc = roc_of(predictions(labels, scores))
    fpr, tpr, _ = roc_curve(labels, scores)
    expected = [tpr[np.searchsorted(fpr, x, side="right") - 1] for x in roc.fpr[1:]]
    assert roc.tpr[1:] == pytest.approx(expected, abs=1 / 300)
    area = np.trapezoid(roc.tpr, roc.fpr)
    assert area == pytest.approx(roc_auc_score(labels, scores), abs=0.01)


def test_a_band_is_the_bootstrap_of_the_curve(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compared case by case with curves of scikit-learn; patients have several scans."""
    monkeypatch.setattr(resampling, "DRAWS", 60)
    rng = np.random.default_rng(2)
    patients = np.unique(rng.integers(0, 30, 70), return_inverse=True)[1]
    labels, scores = rng.integers(0, 2, 70), np.round(rng.random(70), 2)  # with ties
    roc = roc_of(predictions(labels, scores, patients))
    counts = resampling.drawn(patients.max() + 1)
    curves = []
    for times in counts[:, patients]:
        cases = np.repeat(np.arange(70), times)
        fpr, tpr, _ = roc_curve(labels[cases], scores[cases], drop_intermediate=False)
        just_after = np.array(roc.fpr[1:]) + 1e-10  # the upper end of a vertical
        curves.append(np.interp(just_after, fpr, tpr))
    low, high = np.quantile(curves, (0.025, 0.975), axis=0)
    assert roc.low[1:] == pytest.approx(low.tolist(), abs=1e-7)
    assert roc.high[1:] == pytest.approx(high.tolist(), abs=1e-7)


def test_a_band_covers_the_true_curve_pointwise(monkeypatch: pytest.MonkeyPatch) -> None:
    """Binormal, 75 + 75 cases, 150 draws of the test; standard error of a proportion: 0.02."""
    monkeypatch.setattr(resampling, "DRAWS", 100)
    grid = np.arange(1, 6) / 10
    true = norm.cdf(1.5 + norm.ppf(grid))
    held = np.zeros(5)
    for seed in range(150):
        roc = roc_of(predictions(*binormal(seed, 150)))
        low, high = (np.array(getattr(roc, line))[11:52:10] for line in ("low", "high"))
        held += (low <= true) & (true <= high)
    assert (held / 150 > 0.88).all()
    assert 0.9 < held.mean() / 150 < 0.98


def test_scans_of_one_patient_widen_the_band() -> None:
    labels, scores = binormal(2, 60)
    many = np.repeat(labels, 8), np.repeat(scores, 8)
    narrow = roc_of(predictions(*many))
    wide = roc_of(predictions(*many, np.repeat(np.arange(60), 8)))
    widths = [at(one, 0.2, "high") - at(one, 0.2, "low") for one in (wide, narrow)]
    assert widths[0] > 2 * widths[1]


def test_the_curve_of_several_seeds_is_their_mean() -> None:
    labels, _ = binormal(3, 90)
    scores = np.array([binormal(seed, 90)[1] for seed in range(3)])
    roc = roc_of(predictions(labels, scores))
    each = [roc_of(predictions(labels, one)) for one in scores]
    assert roc.tpr == pytest.approx(np.mean([one.tpr for one in each], axis=0))
    assert roc.tpr[-1] == 1.0
    assert np.all(np.diff(roc.tpr) >= 0)
    inside = [known(a) <= t <= known(b) for a, t, b in zip(roc.low, roc.tpr, roc.high, strict=True)]
    assert np.mean(inside) > 0.95


def test_no_band_if_too_many_draws_have_one_class() -> None:
    labels = np.array([1, *[0] * 19])  # (19/20)^20 = 36 % of draws have no positive
    roc = roc_of(predictions(labels, np.linspace(1, 0, 20)))
    assert roc.tpr[1] == 1.0
    assert set(roc.low) == set(roc.high) == {None}
    few = np.array([1] * 4 + [0] * 36)  # (36/40)^40 = 1.5 %
    assert None not in roc_of(predictions(few, np.linspace(1, 0, 40))).low
