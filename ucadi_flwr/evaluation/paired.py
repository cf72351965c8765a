"""Tests between two models, or a model and a reader, on the same cases."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binomtest, chi2, norm, rankdata

from ucadi_flwr.evaluation.cases import as_clusters, as_truth
from ucadi_flwr.evaluation.delong import shares
from ucadi_flwr.evaluation.intervals import Interval, z_value


@dataclass(frozen=True)
class Comparison:
    """A less B, its interval, the two-sided p, and the name of the test.

    ``interval`` or ``p`` is None where the sample cannot tell (see the test).
    """

    difference: float
    interval: Interval | None
    p: float | None
    method: str


def delong_test(
    truth: ArrayLike,
    scores_a: ArrayLike,
    scores_b: ArrayLike,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
) -> Comparison | None:
    """AUC of A less that of B, and DeLong's test that it is 0; None with one class.

    Truth, scores and patients are `(N,)`. z = difference / SE, with the variance of the difference
    var A + var B − 2 cov (DeLong et al. 1988; of clusters, Obuchowski 1997), taken from the
    differences of the shares, so that it is exactly 0 where it should be. Interval: difference ±
    z SE, cut at ±1. Neither interval nor p with fewer than two patients of a class. Near 1 the test
    is cautious: of 100 + 100 cases, it rejects equal models of AUC .99 at 5 % in 2 % of samples.

    Where the variance is 0: p is 1 if the difference is 0, else None; the interval is None, but
    0 to 0 if both rank all cases alike (two models of AUC 1 may still differ on other cases).
    """
    z = z_value(level)
    a, b = shares(truth, scores_a, clusters), shares(truth, scores_b, clusters)
    if a is None or b is None:
        return None
    contrast = a - b
    variance = contrast.variance()
    method = "DeLong 1988"
    if len(contrast.positive) < contrast.positives + contrast.negatives:
        method = "DeLong 1988, patients as clusters (Obuchowski 1997)"
    if not variance:
        p = None if variance is None or contrast.auc else 1.0
        alike = p and np.array_equal(rankdata(scores_a), rankdata(scores_b))
        return Comparison(contrast.auc, Interval(0.0, 0.0) if alike else None, p, method)
    error = float(np.sqrt(variance))
    p = float(2 * norm.sf(abs(contrast.auc) / error))
    return Comparison(contrast.auc, _around(contrast.auc, z * error), p, method)


def mcnemar(
    correct_a: ArrayLike,
    correct_b: ArrayLike,
    clusters: ArrayLike | None = None,
    level: float = 0.95,
) -> Comparison:
    """Share of cases that A has right less B's, and McNemar's test that it is 0.

    ``correct_a``, ``correct_b``: `(N,)`, whether each got the case right. All cases compare
    accuracies; the positive ones alone sensitivities; the negative ones alone specificities.

    One case a patient: the exact binomial test of the discordant pairs (McNemar, Psychometrika
    12:153, 1947), and the interval of Newcombe's method 10 (Statistics in Medicine 17:2635, 1998).

    Several: with d = a patient's (A alone right − B alone right) / cases, Durkalski's χ² =
    (Σd)² / Σd² with one degree of freedom (Statistics in Medicine 22:2417, 2003). Every patient
    weighs the same, so the difference is the mean of d, with mean ± z SE cut at ±1; no interval
    where all d are 0. χ² is an approximation: with fewer than ten patients of d ≠ 0, p is rough.
    """
    z = z_value(level)
    a, b = as_truth(correct_a), as_truth(correct_b)
    if len(a) != len(b):
        raise ValueError(f"{len(a)} cases of A, but {len(b)} of B")
    patients = as_clusters(clusters, len(a))
    cases = np.bincount(patients)
    if len(cases) < len(a):
        gained = np.bincount(patients, a.astype(np.float64) - b)  # whole numbers
        return _durkalski(gained / cases, z)
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    discordant = only_a + only_b
    p = binomtest(only_a, discordant).pvalue if discordant else 1.0
    interval = _newcombe(int((a & b).sum()), only_a, only_b, int((~a & ~b).sum()), level)
    return Comparison((only_a - only_b) / len(a), interval, float(p), "McNemar, exact")


def holm(p_values: Sequence[float | None]) -> list[float | None]:
    """Holm's step-down adjustment (Scandinavian Journal of Statistics 6:65, 1979).

    The k-th smallest of m is multiplied by m − k + 1; none is below one that was smaller, and none
    above 1. None is no test: it stays None and is not counted in m.
    """
    found = [(p, i) for i, p in enumerate(p_values) if p is not None]
    if not all(0.0 <= p <= 1.0 for p, _ in found):
        raise ValueError("a p-value is between 0 and 1")
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for k, (p, i) in enumerate(sorted(found)):
        largest = max(largest, min(1.0, p * (len(found) - k)))
        adjusted[i] = largest
    return adjusted


def _around(centre: float, half: float) -> Interval:
    return Interval(max(-1.0, centre - half), min(1.0, centre + half))


def _durkalski(differences: NDArray[np.float64], z: float) -> Comparison:
    method = "McNemar, patients as clusters (Durkalski 2003)"
    mean, squares = float(differences.mean()), float(differences @ differences)
    if squares == 0.0:
        return Comparison(0.0, None, 1.0, method)
    p = float(chi2.sf(differences.sum() ** 2 / squares, df=1))
    if len(differences) < 2:
        return Comparison(mean, None, None, method)
    error = float(differences.std(ddof=1)) / np.sqrt(len(differences))
    return Comparison(mean, _around(mean, z * float(error)), p, method)


def _newcombe(both: int, only_a: int, only_b: int, neither: int, level: float) -> Interval:
    """Square-and-add of the two Wilson intervals, less their correlation φ."""
    n = both + only_a + only_b + neither
    right_a, right_b = both + only_a, both + only_b
    a, b = (binomtest(k, n).proportion_ci(level, "wilson") for k in (right_a, right_b))
    p_a, p_b = right_a / n, right_b / n
    product = float(both * neither - only_a * only_b)
    if product > 0:
        product = max(product - n / 2, 0.0)  # method 10's continuity correction
    margins = right_a * (n - right_a) * right_b * (n - right_b)
    phi = product / np.sqrt(margins) if margins else 0.0

    def half(one: float, other: float) -> float:
        return float(np.sqrt(one**2 - 2 * phi * one * other + other**2))

    difference = p_a - p_b
    low = difference - half(p_a - a.low, b.high - p_b)
    return Interval(max(-1.0, low), min(1.0, difference + half(a.high - p_a, p_b - b.low)))
