"""From the values of several seeds to their mean, its interval and their spread."""

import statistics
from collections.abc import Sequence

from ucadi_flwr.evaluation.intervals import Interval
from ucadi_flwr.results.analysis import Estimate

UNDEFINED = Estimate(mean=None)


def estimate(values: Sequence[float], interval: Interval | None = None) -> Estimate:
    """Mean over seeds with the interval given, and SD over seeds.

    In exact fractions: of equal values the mean is exactly that value and the SD exactly 0.
    """
    return Estimate(
        mean=mean(values),
        low=interval.low if interval else None,
        high=interval.high if interval else None,
        sd=statistics.stdev(values) if len(values) > 1 else None,
    )


def mean(values: Sequence[float]) -> float:
    """The mean, rounded once."""
    return float(statistics.mean(values))
