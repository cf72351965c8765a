"""Confidence intervals of proportions and of the AUC."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import norm

from ucadi_flwr.evaluation.delong import Shares


@dataclass(frozen=True)
class Interval:
    """A confidence interval, both ends included."""

    low: float
    high: float


def z_value(level: float) -> float:
    """The standard normal's two-sided quantile: 1.96 for 0.95."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"a confidence level is between 0 and 1, not {level}")
    return float(norm.ppf(0.5 + level / 2))


def wilson(value: float, n: float, level: float = 0.95) -> Interval:
    """Score interval of a proportion of n cases (Wilson, JASA 22:209, 1927); n need not be whole.

    It takes the n cases as independent: where a patient has several, n is how many independent
    cases would tell as much (:mod:`ucadi_flwr.comparison.rates`).
    """
    z = z_value(level)
    if not 0.0 <= value <= 1.0 or n <= 0:
        raise ValueError(f"{value} of {n} cases is no proportion")
    centre = value + z**2 / (2 * n)
    half = z * float(np.sqrt(value * (1 - value) / n + z**2 / (4 * n**2)))
    low, high = (centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n)
    return Interval(max(0.0, min(low, value)), min(1.0, max(high, value)))


@dataclass(frozen=True)
class AucEstimate:
    """An AUC, its variance (None with fewer than two patients of a class), and the patients."""

    auc: float
    variance: float | None
    positive_patients: int
    negative_patients: int

    @classmethod
    def of(cls, found: Shares) -> Self:
        """Of one model's shares, or of the mean of several models'; the AUC is that of the cases.

        The variance is DeLong's, or Obuchowski's where a patient has several cases.
        """
        variance = found.variance()
        return cls(found.auc, variance, found.positive_patients, found.negative_patients)

    def interval(self, level: float = 0.95) -> Interval | None:
        """Normal on the logit scale: logit AUC ± z SE / (AUC (1 − AUC)), the delta method.

        From Pepe (The Statistical Evaluation of Medical Tests, 2003); Perme & Manevski (Statistical
        Methods in Medical Research 28:3755, 2019) find it the best for DeLong's variance. Not AUC ±
        z SE, cut at 1: near 1 that covers too little, and errs to one side. Of 2,000 binormal
        samples of 100 + 100 cases, the 95 % interval held the true AUC in 95 % (plain: 94 %) at AUC
        .8, 95 % (91) at .97, 93 % (86) at .99, 92 % (82) at .995.

        Where the variance is 0 (AUC is 0 or 1, or all scores are equal) the sample does not show
        its spread. Then Newcombe's method 5 (Statistics in Medicine 25:559, 2006) on the numbers of
        patients: never of width 0, and wide: .980 to 1 for AUC 1 of 100 + 100 patients.
        """
        if self.variance is None:
            return None
        z = z_value(level)
        if self.variance == 0.0:
            return _newcombe(self.auc, self.positive_patients, self.negative_patients, z)
        half = z * np.sqrt(self.variance) / (self.auc * (1 - self.auc))
        centre = logit(self.auc)
        return Interval(float(expit(centre - half)), float(expit(centre + half)))


def _newcombe(auc: float, positives: int, negatives: int, z: float) -> Interval:
    """Where (θ − AUC)² = z² var(θ), Hanley & McNeil's variance with both sizes at their mean."""
    mean = (positives + negatives) / 2

    def excess(theta: float) -> float:
        spread = (1 - theta) / (2 - theta) + theta / (1 + theta)
        variance = theta * (1 - theta) * (1 + (mean - 1) * spread) / (positives * negatives)
        return (theta - auc) ** 2 - z**2 * variance

    tiny = 1e-9
    low = brentq(excess, 0.0, min(auc, 1 - tiny)) if auc > 0 else 0.0
    high = brentq(excess, max(auc, tiny), 1.0) if auc < 1 else 1.0
    return Interval(float(low), float(high))
