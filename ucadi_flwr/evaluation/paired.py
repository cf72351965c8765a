"""Tests between two models, or a model and a reader, on the same cases."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom, binomtest, norm

from ucadi_flwr.evaluation.delong import Shares
from ucadi_flwr.evaluation.inputs import as_truth
from ucadi_flwr.evaluation.intervals import Interval, wilson, z_value


@dataclass(frozen=True)
class Comparison:
    """A less B, its interval, the two-sided p, and the name of the test.

    ``interval`` or ``p`` is None where the sample cannot tell (see the test).
    """

    difference: float
    interval: Interval | None
    p: float | None
    method: str


def delong_test(contrast: Shares, level: float = 0.95) -> Comparison:
    """AUC of A less that of B, and DeLong's test that it is 0.

    ``contrast``: the shares of A less those of B (:func:`ucadi_flwr.evaluation.delong.shares`), or
    the mean of such differences, one a seed. z = difference / SE, with the variance of the
    difference var A + var B − 2 cov (DeLong et al. 1988; of clusters, Obuchowski 1997), taken from
    the differences of the shares, so that it is exactly 0 where it should be. Interval: difference
    ± z SE, cut at ±1. Neither interval nor p with fewer than two patients of a class. Near 1 the
    test is cautious: of 100 + 100 cases, it rejects equal models of AUC .99 at 5 % in 2 % of
    samples.

    Where the variance is 0: p is 1 if the difference is 0, else None; the interval is None, but
    0 to 0 if both rank all cases alike (two models of AUC 1 may still differ on other cases).
    """
    z = z_value(level)
    variance = contrast.variance()
    method = "DeLong 1988"
    if contrast.models > 1:
        method += f", mean of {contrast.models} seeds"
    if len(contrast.positive) < contrast.positives + contrast.negatives:
        method += ", patients as clusters (Obuchowski 1997)"
    if not variance:
        p = None if variance is None or contrast.won else 1.0
        alike = p is not None and not contrast.ranks.any()
        return Comparison(contrast.auc, Interval(0.0, 0.0) if alike else None, p, method)
    error = float(np.sqrt(variance))
    p = float(2 * norm.sf(abs(contrast.auc) / error))
    low, high = contrast.auc - z * error, contrast.auc + z * error
    return Comparison(contrast.auc, Interval(max(-1.0, low), min(1.0, high)), p, method)


def mcnemar(correct_a: ArrayLike, correct_b: ArrayLike, level: float = 0.95) -> Comparison:
    """Share of cases that A has right less B's, and McNemar's test that it is 0.

    ``correct_a``, ``correct_b``: `(N,)`, whether each got the case right, of one case a patient
    (otherwise: :func:`sign_flips`). The exact binomial test of the discordant pairs (McNemar,
    Psychometrika 12:153, 1947), and the interval of Newcombe's method 10 (Statistics in Medicine
    17:2635, 1998).
    """
    a, b = as_truth(correct_a), as_truth(correct_b)
    if len(a) != len(b):
        raise ValueError(f"{len(a)} cases of A, but {len(b)} of B")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    discordant = only_a + only_b
    p = binomtest(only_a, discordant).pvalue if discordant else 1.0
    interval = _newcombe(int((a & b).sum()), only_a, only_b, int((~a & ~b).sum()), level)
    return Comparison((only_a - only_b) / len(a), interval, float(p), "McNemar, exact")


def sign_flips(gains: NDArray[np.int64]) -> float:
    """Two-sided p of a sum of whole numbers, were each as likely to have the other sign.

    Were A and B alike for a patient, what A gains over B, all cases and seeds together, might as
    well be B's gain. The p-value is the share of all 2^k sign changes whose sum is as far from 0 as
    that observed or farther: all are counted, none is drawn, by adding up one binomial variable for
    every size of gain. Gains of one size make it the exact McNemar test.
    """
    sizes, counts = np.unique(np.abs(gains[gains != 0]), return_counts=True)
    chances = np.ones(1)
    for size, count in zip(sizes.tolist(), counts.tolist(), strict=True):
        steps = np.zeros(size * count + 1)
        steps[::size] = binom.pmf(np.arange(count + 1), count, 0.5)
        chances = np.convolve(chances, steps)
    total = len(chances) - 1
    far = np.abs(2 * np.arange(total + 1) - total) >= abs(int(gains.sum()))
    return min(1.0, float(chances[far].sum()))


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


def _newcombe(both: int, only_a: int, only_b: int, neither: int, level: float) -> Interval:
    """Square-and-add of the two Wilson intervals, less their correlation φ."""
    n = both + only_a + only_b + neither
    right_a, right_b = both + only_a, both + only_b
    p_a, p_b = right_a / n, right_b / n
    a, b = wilson(p_a, n, level), wilson(p_b, n, level)
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
