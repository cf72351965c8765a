"""The AUC by DeLong in simulations: the coverage of its interval, the level of its test."""

import numpy as np
import pytest
from helpers.known import known
from helpers.one_model import area_of, difference_of, interval_of
from scipy.stats import kstest, norm


def covered(area: float, draws: int, seed: int, m: int = 100, n: int = 100) -> tuple[float, float]:
    """Proportion of 95 % intervals that contain the true AUC; the same for plain AUC ± z SE."""
    rng = np.random.default_rng(seed)
    truth = np.arange(m + n) < m
    shift = norm.ppf(area) * np.sqrt(2)
    logit = plain = 0
    for _ in range(draws):
        estimate = area_of(truth, rng.normal(size=m + n) + shift * truth)
        interval = interval_of(estimate)
        logit += interval.low <= area <= interval.high
        plain += abs(estimate.auc - area) <= norm.ppf(0.975) * np.sqrt(known(estimate.variance))
    return logit / draws, plain / draws


@pytest.mark.parametrize(
    ("area", "lowest", "plain_at_most"),
    [(0.8, 0.93, 0.96), (0.97, 0.93, 0.925), (0.99, 0.91, 0.89)],
)
def test_the_interval_covers(area: float, lowest: float, plain_at_most: float) -> None:
    """Standard error of a coverage over 1,000 draws: 0.007."""
    logit, plain = covered(area, draws=1000, seed=1)
    assert lowest <= logit <= 0.97
    assert plain <= plain_at_most


@pytest.mark.parametrize("mixed", [False, True], ids=["one class per patient", "both classes"])
def test_the_interval_covers_with_several_scans_per_patient(mixed: bool) -> None:
    """120 patients of 1 to 8 scans that correlate by 0.7; DeLong without clusters covers less."""
    rng = np.random.default_rng(1)
    shift, draws = norm.ppf(0.85) * np.sqrt(2), 500
    clustered = naive = 0
    for _ in range(draws):
        patient = np.repeat(np.arange(120), rng.integers(1, 9, 120))
        truth = rng.random(len(patient)) < 0.5 if mixed else patient < 60
        own = np.sqrt(0.7) * rng.normal(size=120)[patient]
        scores = shift * truth + own + np.sqrt(0.3) * rng.normal(size=len(patient))
        for names in (patient, None):
            interval = interval_of(area_of(truth, scores, names))
            held = interval.low <= 0.85 <= interval.high
            if names is None:
                naive += held
            else:
                clustered += held
    assert 0.93 <= clustered / draws <= 0.97
    assert naive / draws < (0.92 if mixed else 0.75)


@pytest.mark.parametrize("clustered", [False, True])
def test_p_is_uniform_where_the_models_are_exchangeable(clustered: bool) -> None:
    rng = np.random.default_rng(2)
    p_values = []
    for _ in range(1000):
        scans = rng.integers(1, 6, 100) if clustered else np.ones(100, np.int64)
        patient = np.repeat(np.arange(100), scans)
        truth = patient < 50
        common = 1.2 * truth + rng.normal(size=100)[patient]
        a, b = (
            common + 0.7 * rng.normal(size=100)[patient] + 0.5 * rng.normal(size=len(patient))
            for _ in range(2)
        )
        p_values.append(known(difference_of(truth, a, b, patient).p))
    assert kstest(p_values, "uniform").pvalue > 0.05
    assert 0.03 <= np.mean(np.array(p_values) < 0.05) <= 0.07


def test_permuted_labels_give_half() -> None:
    """AUC − ½, divided by its standard error, is standard normal if the labels are random."""
    rng = np.random.default_rng(3)
    scores = rng.normal(size=120)
    z = []
    for _ in range(1000):
        estimate = area_of(rng.permutation(120) < 60, scores)
        z.append((estimate.auc - 0.5) / np.sqrt(known(estimate.variance)))
    assert kstest(z, "norm").pvalue > 0.05
