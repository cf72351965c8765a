"""The values of several seeds → their mean, its interval and their standard deviation."""

import statistics
from collections.abc import Sequence

from ucadi_flwr.evaluation.intervals import Interval
from ucadi_flwr.results.analysis import Estimate


def estimate(values: Sequence[float], interval: Interval | None = None) -> Estimate:
    """Mean and SD over seeds, with the given interval.

    Computed in exact fractions: the mean of equal values is exactly that value, their SD exactly 0.
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
