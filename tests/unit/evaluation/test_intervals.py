"""Wilson's interval against published figures; the bootstrap against what it resamples."""

import numpy as np
import pytest

from ucadi_flwr.evaluation.delong import auc
from ucadi_flwr.evaluation.intervals import (
    Bootstrap,
    Interval,
    Proportion,
    bootstrap,
    delong_auc,
    proportion,
    resamples,
    wilson,
)

# statsmodels 0.15.0: proportion_confint(k, n, alpha=1 - level, method="wilson"). The rows of 263,
# 148, 29 at 95 % are also Newcombe's (Statistics in Medicine 17:857, 1998, table I, method 3).
WILSON = [
    (0, 10, 0.95, 0.0, 0.27753279986288926),
    (1, 10, 0.95, 0.017876213095072924, 0.40415002679523854),
    (10, 10, 0.95, 0.7224672001371106, 1.0),
    (81, 263, 0.95, 0.2552885198782742, 0.36620957698280004),
    (15, 148, 0.95, 0.06238639953073628, 0.16048724172330803),
    (1, 29, 0.95, 0.006113214292762667, 0.17175521879320294),
    (199, 200, 0.95, 0.9722262956021069, 0.9991168312843989),
    (98, 100, 0.90, 0.9413516316431647, 0.9933593564049878),
    (15, 148, 0.90, 0.06744326224687144, 0.14957293174640032),
]


@pytest.mark.parametrize(("successes", "n", "level", "low", "high"), WILSON)
def test_wilson(successes: int, n: int, level: float, low: float, high: float) -> None:
    found = wilson(successes, n, level)
    assert (found.low, found.high) == pytest.approx((low, high), abs=1e-12)
    assert proportion(successes, n, level) == Proportion(successes / n, found, successes, n)


def test_a_proportion_of_nothing_is_none() -> None:
    assert wilson(0, 0) is None
    assert proportion(0, 0) is None


@pytest.mark.parametrize(("successes", "n"), [(-1, 5), (6, 5), (0, -1)])
def test_what_is_no_proportion_is_refused(successes: int, n: int) -> None:
    with pytest.raises(ValueError, match="is no proportion"):
        wilson(successes, n)


def test_a_resample_holds_whole_patients_in_equal_chance() -> None:
    patients = np.array([2, 0, 2, 1, 2, 1])
    drawn = list(resamples(patients, 3000, seed=0))
    for cases in drawn:
        times = np.bincount(cases, minlength=6)
        assert times[0] == times[2] == times[4]
        assert times[3] == times[5]
        assert times[0] + times[1] + times[3] == 3
    counts = np.bincount(np.concatenate(drawn), minlength=6)
    assert counts == pytest.approx(np.full(6, 3000), rel=0.05)


def test_a_bootstrap_of_a_mean_is_the_binomials() -> None:
    """A resampled mean of 40 ones of 100 is binomial: its quantiles are 31 and 50 of 100."""
    values = (np.arange(100) < 40).astype(np.float64)
    found = bootstrap(lambda x: float(x.mean()), [values], draws=4000, seed=0)
    assert found.interval.low == pytest.approx(0.31, abs=0.011)
    assert found.interval.high == pytest.approx(0.50, abs=0.011)
    assert (found.draws, found.dropped) == (4000, 0)


def test_the_seed_is_the_draw() -> None:
    arrays = [np.arange(50) < 20, np.random.default_rng(0).normal(size=50)]
    assert bootstrap(auc, arrays, seed=1, draws=50) == bootstrap(auc, arrays, seed=1, draws=50)
    assert bootstrap(auc, arrays, seed=1, draws=50) != bootstrap(auc, arrays, seed=2, draws=50)


def test_bootstrap_and_delong_agree_with_and_without_clusters() -> None:
    rng = np.random.default_rng(5)
    patient = np.repeat(np.arange(150), rng.integers(1, 8, 150))
    truth = patient < 60
    scores = truth + rng.normal(size=150)[patient] + 0.3 * rng.normal(size=len(patient))
    widths = []
    for clusters in (None, patient):
        analytic = delong_auc(truth, scores, clusters).interval()
        drawn = bootstrap(auc, [truth, scores], clusters, seed=0).interval
        assert (drawn.low, drawn.high) == pytest.approx((analytic.low, analytic.high), abs=0.012)
        widths.append(drawn.high - drawn.low)
    assert widths[1] > 1.7 * widths[0]


def test_draws_without_a_value_are_dropped_and_counted() -> None:
    rng = np.random.default_rng(0)
    # 2 of 40 positive: a draw has neither with chance (38/40)^40 = 0.13; of 4: (36/40)^40 = 0.015
    rare, few = np.arange(40) < 2, np.arange(40) < 4
    scores = rng.random(40)
    none = bootstrap(auc, [rare, scores], seed=0)
    assert none.interval is None
    assert 90 < none.dropped < 170
    some = bootstrap(auc, [few, scores], seed=0)
    assert isinstance(some.interval, Interval)
    assert 3 <= some.dropped <= 30
    empty = bootstrap(lambda _: float("nan"), [scores], draws=20)
    assert empty == Bootstrap(None, 20, 20)


@pytest.mark.parametrize(
    ("arrays", "clusters", "draws", "message"),
    [
        ([np.zeros(3), np.zeros(4)], None, 10, "one length"),
        ([], None, 10, "one length"),
        ([np.zeros(0)], None, 10, "one length"),
        ([np.zeros(3)], ["a", "b"], 10, "3 cases, but clusters"),
        ([np.zeros(3)], None, 0, "at least one draw"),
    ],
)
def test_what_cannot_be_resampled_is_refused(
    arrays: list, clusters: list | None, draws: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        bootstrap(lambda *_: 0.0, arrays, clusters, draws)
