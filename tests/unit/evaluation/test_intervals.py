"""Wilson's interval, compared with published values and with scipy."""

import pytest
from scipy.stats import binomtest

from ucadi_flwr.evaluation.intervals import wilson

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
    interval = wilson(successes / n, n, level)
    assert (interval.low, interval.high) == pytest.approx((low, high), abs=1e-12)
    other = binomtest(successes, n).proportion_ci(level, method="wilson")
    assert (interval.low, interval.high) == pytest.approx((other.low, other.high), abs=1e-12)


@pytest.mark.parametrize(("value", "n"), [(-0.1, 5), (1.1, 5), (0.5, 0), (0.0, -1)])
def test_invalid_proportions_are_refused(value: float, n: float) -> None:
    with pytest.raises(ValueError, match="is not a proportion"):
        wilson(value, n)
