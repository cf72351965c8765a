"""The AUC of several seeds, compared with DeLong for one seed, and the coverage of its interval."""

import numpy as np
import pytest
from helpers.known import known
from helpers.one_model import area_of, difference_of, interval_of
from helpers.resampled import bootstrap
from helpers.scored import predictions
from numpy.typing import NDArray
from scipy.stats import norm

from ucadi_flwr.comparison.auc import auc_difference, auc_estimate
from ucadi_flwr.evaluation.delong import AucComponents, auc_components

SEEDS = 3


def draw(
    rng: np.random.Generator,
    labels: NDArray[np.int64],
    separation: float,
    noise: float = 0.7,
    patients: NDArray[np.intp] | None = None,
) -> NDArray[np.float64]:
    """Scores of seeds that differ by noise."""
    case = rng.normal(size=len(labels))
    if patients is not None:
        case = np.sqrt(0.5) * (case + rng.normal(size=len(labels))[patients])
    return separation * labels + case + noise * rng.normal(size=(SEEDS, len(labels)))


@pytest.mark.parametrize("patients", [None, np.arange(80) // 2])
def test_one_seed_is_delong(patients: NDArray[np.intp] | None) -> None:
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 2, 80)
    a, b = labels + rng.normal(size=80), labels + rng.normal(size=80)
    one = area_of(labels, a, patients)
    auc = auc_estimate(predictions(labels, a, patients), 1)
    interval = interval_of(one)
    assert (auc.mean, auc.low, auc.high) == (one.auc, interval.low, interval.high)
    exact = difference_of(labels, a, b, patients)
    estimate, p, method = known(
        auc_difference(predictions(labels, a, patients), predictions(labels, b, patients), 1)
    )
    limits = known(exact.interval)
    assert (estimate.mean, p, method) == (exact.difference, exact.p, exact.method)
    assert (estimate.low, estimate.high) == (limits.low, limits.high)


def test_mean_of_components_against_the_covariance_matrix() -> None:
    """The variance of the mean of three AUCs is the sum of DeLong's 3 × 3 matrix, divided by 9."""
    rng = np.random.default_rng(4)
    labels = np.arange(60) % 2
    scores = labels + rng.normal(size=60) + 0.5 * rng.normal(size=(SEEDS, 60))
    each = [known(auc_components(labels, one)) for one in scores]

    def components(  # V10 and V01 from their definition
        one: NDArray[np.float64],
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        x, y = one[labels == 1], one[labels == 0]
        psi = (x[:, None] > y).astype(float)
        return psi.mean(axis=1), psi.mean(axis=0)

    v10, v01 = (np.array(v) for v in zip(*map(components, scores), strict=True))
    matrix = np.cov(v10) / 30 + np.cov(v01) / 30
    mean = AucComponents.mean(each)
    assert mean.variance() == pytest.approx(matrix.sum() / 9, rel=1e-12)
    assert mean.auc == pytest.approx(np.mean([one.auc for one in each]), rel=1e-15)
    assert mean.models == SEEDS
    assert AucComponents.mean([mean, each[0]]).models == SEEDS + 1


def test_means_of_other_cases_are_refused() -> None:
    short = known(auc_components([0, 1], [1, 2]))
    long = known(auc_components([0, 0, 1], [1, 2, 3]))
    with pytest.raises(ValueError, match="same cases"):
        AucComponents.mean([short, long])
    with pytest.raises(ValueError, match="same cases"):
        short - long
    with pytest.raises(ValueError, match="mean of 2 models"):
        AucComponents.mean([short, short]) - short


@pytest.mark.parametrize(("separation", "cases"), [(1.2, 80), (2.6, 120)])
def test_interval_covers_the_mean_of_correlated_seeds(separation: float, cases: int) -> None:
    """1,000 test sets for three fixed models; the standard error of the simulation is 0.7 %."""
    labels = np.arange(cases) % 2
    noise = 0.7
    truth = norm.cdf(separation / np.sqrt(2 * (1 + noise**2)))
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(1000):
        scores = draw(rng, labels, separation, noise)
        auc = auc_estimate(predictions(labels, scores), 1)
        held += known(auc.low) <= truth <= known(auc.high)
    assert 0.93 <= held / 1000 <= 0.97


def test_interval_covers_with_several_scans_per_patient() -> None:
    patients = np.arange(180) // 3
    labels = (patients % 2).astype(int)
    noise = 0.7
    truth = norm.cdf(1.2 / np.sqrt(2 * (1 + noise**2)))
    rng = np.random.default_rng(6)
    held = 0
    for _ in range(500):
        scores = draw(rng, labels, 1.2, noise, patients=patients)
        auc = auc_estimate(predictions(labels, scores, patients), 1)
        held += known(auc.low) <= truth <= known(auc.high)
    assert 0.93 <= held / 500 <= 0.97


def test_equal_strategies_are_rejected_at_the_level() -> None:
    labels = np.arange(100) % 2
    rng = np.random.default_rng(8)
    rejected = 0
    for _ in range(500):
        case = 1.2 * labels + rng.normal(size=100)
        a, b = (
            case + 0.5 * rng.normal(size=100) + 0.5 * rng.normal(size=(SEEDS, 100))
            for _ in range(2)
        )
        _, p, _ = known(auc_difference(predictions(labels, a), predictions(labels, b), 1))
        rejected += known(p) < 0.05
    assert 0.02 <= rejected / 500 <= 0.08


def test_bootstrap_and_delong_agree_with_and_without_clusters() -> None:
    rng = np.random.default_rng(5)
    patients = np.repeat(np.arange(150), rng.integers(1, 8, 150))
    labels = (patients < 60).astype(int)
    scores = labels + rng.normal(size=150)[patients] + 0.3 * rng.normal(size=len(patients))
    widths = []
    for index in (np.arange(len(labels)), patients):
        auc = auc_estimate(predictions(labels, scores, index), 1)
        drawn = bootstrap(lambda t, s: known(auc_components(t, s)).auc, [labels, scores], index)
        assert (drawn.low, drawn.high) == pytest.approx(
            (known(auc.low), known(auc.high)), abs=0.012
        )
        widths.append(drawn.high - drawn.low)
    assert widths[1] > 1.7 * widths[0]


def test_auc_of_one_in_every_seed_has_newcombes_interval() -> None:
    labels = np.arange(40) % 2
    scores = np.array([0.9 * labels, 0.5 * labels])
    auc = auc_estimate(predictions(labels, scores), 1)
    interval = interval_of(area_of(labels, labels.astype(float)))
    assert (auc.mean, auc.sd) == (1.0, 0.0)
    assert (auc.low, auc.high) == (interval.low, interval.high)
    assert known(auc.low) < 1.0


def test_too_few_patients_have_an_auc_without_interval() -> None:
    one = predictions([1, 0, 0], [0.3, 0.2, 0.4])
    other = predictions([1, 0, 0], [0.3, 0.2, 0.1])
    assert auc_estimate(one, 1).model_dump() == {"mean": 0.5, "low": None, "high": None, "sd": None}
    estimate, p, _ = known(auc_difference(one, other, 1))
    assert (estimate.mean, estimate.low, p) == (-0.5, None, None)


def test_difference_without_a_variance() -> None:
    # the components differ by the same amount for every case, so their variance is 0
    labels = np.array([1, 1, 0, 0])
    best, worst = np.array([0.9, 0.8, 0.1, 0.2]), np.array([0.1, 0.2, 0.9, 0.8])
    of_best = predictions(labels, best)
    estimate, p, _ = known(auc_difference(of_best, predictions(labels, worst), 1))
    assert (estimate.mean, estimate.low, p) == (1.0, None, None)
    other = np.array([0.7, 0.8, 0.1, 0.2])  # the same AUC, another ranking
    estimate, p, _ = known(auc_difference(of_best, predictions(labels, other), 1))
    assert (estimate.mean, estimate.low, p) == (0.0, None, 1.0)
