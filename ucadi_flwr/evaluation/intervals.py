"""Confidence intervals of proportions and of the AUC."""

from dataclasses import dataclass
from typing import Self

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit
from scipy.stats import norm

from ucadi_flwr.evaluation.delong import AucComponents


@dataclass(frozen=True)
class Interval:
    """A confidence interval, both ends included."""

    low: float
    high: float


def z_value(level: float) -> float:
    """The two-sided quantile of the standard normal distribution: 1.96 for 0.95."""
    if not 0.0 < level < 1.0:
        raise ValueError(f"a confidence level must be between 0 and 1, not {level}")
    return float(norm.ppf(0.5 + level / 2))


def wilson(value: float, n: float, level: float = 0.95) -> Interval:
    """Score interval of a proportion (Wilson, JASA 22:209, 1927).

    Args:
        value: the proportion, from 0 to 1.
        n: number of independent cases; if patients have several cases, the effective number, which
            need not be whole (:mod:`ucadi_flwr.comparison.rates`).
        level: of confidence.

    >>> interval = wilson(0.9, 10)
    >>> round(interval.low, 3), round(interval.high, 3)
    (0.596, 0.982)
    """
    z = z_value(level)
    if not 0.0 <= value <= 1.0 or n <= 0:
        raise ValueError(f"{value} of {n} cases is not a proportion")
    centre = value + z**2 / (2 * n)
    half = z * float(np.sqrt(value * (1 - value) / n + z**2 / (4 * n**2)))
    low, high = (centre - half) / (1 + z**2 / n), (centre + half) / (1 + z**2 / n)
    return Interval(max(0.0, min(low, value)), min(1.0, max(high, value)))


@dataclass(frozen=True)
class AucEstimate:
    """An AUC with what its interval needs.

    Attributes:
        auc: the AUC.
        variance: its variance; None with fewer than two patients of a class.
        positive_patients: number of patients with a positive case.
        negative_patients: number of patients with a negative case.
    """

    auc: float
    variance: float | None
    positive_patients: int
    negative_patients: int

    @classmethod
    def of(cls, components: AucComponents) -> Self:
        """The AUC of one model, or the mean AUC of several, from its components."""
        return cls(
            components.auc,
            components.variance(),
            components.positive_patients,
            components.negative_patients,
        )

    def interval(self, level: float = 0.95) -> Interval | None:
        """Normal interval on the logit scale: logit AUC ± z SE / (AUC (1 − AUC)), the delta method.

        From Pepe (The Statistical Evaluation of Medical Tests, 2003); Perme & Manevski (Statistical
        Methods in Medical Research 28:3755, 2019) recommend it for DeLong's variance. The plain
        interval AUC ± z SE, cut at 1, covers too little near 1. Coverage of the 95 % interval in
        2,000 binormal samples of 100 + 100 cases: 95 % (plain: 94 %) at AUC .8, 95 % (91) at .97,
        93 % (86) at .99, 92 % (82) at .995.

        If the variance is 0 (AUC 0 or 1, or all scores equal), the sample gives no estimate of the
        variance. The interval is then that of Newcombe's method 5 (Statistics in Medicine 25:559,
        2006) for the numbers of patients. Its width is never 0: .980 to 1 for AUC 1 with 100 + 100
        patients. None if the variance is None.
        """
        if self.variance is None:
            return None
        z = z_value(level)
        if self.variance == 0.0:
            return _newcombe_method_5(self.auc, self.positive_patients, self.negative_patients, z)
        half = z * np.sqrt(self.variance) / (self.auc * (1 - self.auc))
        centre = logit(self.auc)
        return Interval(float(expit(centre - half)), float(expit(centre + half)))


def _newcombe_method_5(auc: float, positives: int, negatives: int, z: float) -> Interval:
    """The two θ with (θ − AUC)² = z² var(θ).

    var is Hanley & McNeil's variance with the mean of both sample sizes in place of each.
    """
    mean = (positives + negatives) / 2

    def excess(theta: float) -> float:
        spread = (1 - theta) / (2 - theta) + theta / (1 + theta)
        variance = theta * (1 - theta) * (1 + (mean - 1) * spread) / (positives * negatives)
        return (theta - auc) ** 2 - z**2 * variance

    tiny = 1e-9
    low = brentq(excess, 0.0, min(auc, 1 - tiny)) if auc > 0 else 0.0
    high = brentq(excess, max(auc, tiny), 1.0) if auc < 1 else 1.0
    return Interval(float(low), float(high))
