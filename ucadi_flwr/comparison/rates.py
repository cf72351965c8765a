"""Proportions over seeds, with an interval over patients.

Wilson's score interval on an effective number of cases: what a proportion of independent cases
would need for the variance that the patients show. The variance is linearised (a patient's part in
the mean over seeds, squared and summed), so it holds the patients' repeated scans and the seeds'
agreement. With one seed and one case a patient it is the plain Wilson interval, of equal seeds it
is that of one seed, and ten equal scans count once. Franco et al. (Journal of Survey Statistics and
Methodology 7:334, 2019) recommend this form for clusters.

A percentile bootstrap over patients was measured against it (4,000 samples, three seeds that agree
with r = .6): of 50 cases at .95 its interval held the truth in 91 % (this one: 94), of 100 at .98
in 90 % (97), of 288 at .95 in 93 % (95), of 60 patients with three scans each at .9 in 94 % (94);
and where every case is right it has no width. Few patients with very different numbers of scans are
hard for both: of 50 with one scan, or ten in a quarter of them, at .9 in 88 % (89).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.comparison.seeds import UNDEFINED, estimate, mean
from ucadi_flwr.evaluation.intervals import Interval, wilson
from ucadi_flwr.results.analysis import Estimate


@dataclass(frozen=True)
class Rate:
    """One proportion in every seed.

    ``parts`` `(seeds, patients)`: (a − r b) / B, of a patient's b cases that count, a of which are
    hits, of B and a share r in that seed. ``patients`` have cases that count; ``trials`` is their
    number, summed over seeds that do not decide alike.
    """

    values: tuple[float, ...]
    parts: NDArray[np.float64]
    patients: int
    trials: int

    @property
    def mean(self) -> float:
        """The mean over seeds."""
        return mean(self.values)

    @property
    def influence(self) -> NDArray[np.float64]:
        """Each patient's part in the mean over seeds, `(patients,)`."""
        return np.asarray(self.parts.mean(axis=0), np.float64)

    def interval(self, level: float = 0.95) -> Interval:
        """Of the mean over seeds, over patients."""
        return self._around(self.mean, self.influence, level)

    def estimate(self, level: float = 0.95) -> Estimate:
        """Mean, interval and SD."""
        return estimate(self.values, self.interval(level))

    def as_f1(self, level: float = 0.95) -> Estimate:
        """F1 = 2J / (1 + J), if this is J = TP / (TP + FP + FN).

        The interval is made for J, which is a proportion, and carried over: the "Wilson indirect"
        method of Lam et al. (arXiv 2309.14621, 2023).
        """
        jaccard = np.array(self.values)
        values = (2 * jaccard / (1 + jaccard)).tolist()
        f1 = mean(values)
        at = f1 / (2 - f1)
        slopes = (1 + at) ** 2 / (1 + jaccard) ** 2  # of J at the mean by J of the seed
        influence = (slopes[:, np.newaxis] * self.parts).mean(axis=0)
        found = self._around(at, influence, level)
        return estimate(
            values, Interval(2 * found.low / (1 + found.low), 2 * found.high / (1 + found.high))
        )

    def _around(self, value: float, influence: NDArray[np.float64], level: float) -> Interval:
        return wilson(value, self._effective(value, influence), level)

    def _effective(self, value: float, influence: NDArray[np.float64]) -> float:
        """How many independent cases tell as much; at most all cases of all seeds that differ.

        1 + p (1 − p) / var is exactly n of n independent cases, with the unbiased variance. Where
        the patients do not differ, they do not show it: then it is their number.
        """
        squares = float(influence @ influence)
        if self.patients < 2 or squares <= (1e-12 / self.patients) ** 2:
            return self.patients
        variance = squares * self.patients / (self.patients - 1)
        return min(1 + value * (1 - value) / variance, self.trials)


def rate(
    hits: NDArray[np.bool_], counted: NDArray[np.bool_], patients: NDArray[np.intp]
) -> Rate | None:
    """The share of the ``counted`` cases that are ``hits``, both `(seeds, N)`.

    None if in any seed no case counts: a mean over the other seeds would be of other models.
    """
    totals = counted.sum(axis=1)
    if not totals.all():
        return None
    size = int(patients.max()) + 1
    a = np.array([np.bincount(patients, row, size) for row in hits & counted])
    b = np.array([np.bincount(patients, row, size) for row in counted])
    values = a.sum(axis=1) / totals
    return Rate(
        values=tuple(values.tolist()),
        parts=(a - values[:, np.newaxis] * b) / totals[:, np.newaxis],
        patients=int(b.any(axis=0).sum()),
        trials=int(totals[_distinct(hits & counted, counted)].sum()),
    )


def _distinct(hits: NDArray[np.bool_], counted: NDArray[np.bool_]) -> NDArray[np.intp]:
    """One of the seeds that decide alike on every case."""
    first: NDArray[np.intp] = np.unique(np.hstack([hits, counted]), axis=0, return_index=True)[1]
    return first


def rate_or_undefined(found: Rate | None) -> Estimate:
    """The estimate of a rate that may be None."""
    return found.estimate() if found else UNDEFINED
