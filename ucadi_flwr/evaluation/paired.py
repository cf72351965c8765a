"""Tests of the difference between two models, or a model and a reader, on the same cases."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import binom, binomtest, norm

from ucadi_flwr.evaluation.delong import AucComponents
from ucadi_flwr.evaluation.inputs import as_truth
from ucadi_flwr.evaluation.intervals import Interval, wilson, z_value


@dataclass(frozen=True)
class PairedTest:
    """The result of a test of A against B.

    Attributes:
        difference: A minus B.
        interval: of the difference; None if the sample does not determine it (see the test).
        p: two-sided p-value; None if the sample does not determine it.
        method: the name of the test.
    """

    difference: float
    interval: Interval | None
    p: float | None
    method: str


def delong_test(contrast: AucComponents, level: float = 0.95) -> PairedTest:
    """AUC of A minus that of B, and DeLong's test that the difference is 0.

    z = difference / SE. The variance of the difference, var A + var B − 2 cov (DeLong et al. 1988;
    for clusters, Obuchowski 1997), is computed from the differences of the components, so that it
    is exactly 0 where it should be. The interval is difference ± z SE, cut at ±1. With fewer than
    two patients of a class there is neither interval nor p. Near 1 the test is conservative: with
    100 + 100 cases and a level of 5 %, it rejects equal models of AUC .99 in 2 % of samples.

    If the variance is 0: p is 1 if the difference is 0, else None. The interval is 0 to 0 if both
    rank all cases in the same way, else None, because two models of AUC 1 can still differ on other
    cases.

    Args:
        contrast: the components of A minus those of B
            (:func:`ucadi_flwr.evaluation.delong.auc_components`), or the mean of these differences
            over seeds.
        level: of the confidence interval.

    >>> from ucadi_flwr.evaluation.delong import auc_components
    >>> truth = [1, 1, 1, 0, 0, 0]
    >>> a = auc_components(truth, [0.9, 0.8, 0.4, 0.5, 0.2, 0.1])
    >>> b = auc_components(truth, [0.6, 0.8, 0.3, 0.5, 0.7, 0.4])
    >>> test = delong_test(a - b)
    >>> round(test.difference, 3), round(test.p, 3), test.method
    (0.333, 0.221, 'DeLong 1988')
    """
    z = z_value(level)
    variance = contrast.variance()
    method = "DeLong 1988"
    if contrast.models > 1:
        method += f", mean of {contrast.models} seeds"
    if len(contrast.positive) < contrast.positives + contrast.negatives:
        method += ", patients as clusters (Obuchowski 1997)"
    if not variance:
        p = None if variance is None or contrast.doubled_u else 1.0
        same_ranks = p is not None and not contrast.ranks.any()
        return PairedTest(contrast.auc, Interval(0.0, 0.0) if same_ranks else None, p, method)
    error = float(np.sqrt(variance))
    p = float(2 * norm.sf(abs(contrast.auc) / error))
    low, high = contrast.auc - z * error, contrast.auc + z * error
    return PairedTest(contrast.auc, Interval(max(-1.0, low), min(1.0, high)), p, method)


def mcnemar(correct_a: ArrayLike, correct_b: ArrayLike, level: float = 0.95) -> PairedTest:
    """Proportion of cases that A has right minus B's, and McNemar's test that it is 0.

    The exact binomial test of the discordant pairs (McNemar, Psychometrika 12:153, 1947), and the
    interval of Newcombe's method 10 (Statistics in Medicine 17:2635, 1998). Each case must be of
    another patient; otherwise, use :func:`sign_flips`.

    Args:
        correct_a: whether A has each case right, `(N,)`.
        correct_b: the same for B.
        level: of the confidence interval.

    >>> test = mcnemar([1, 1, 1, 1, 0], [0, 0, 1, 0, 0])
    >>> test.difference, test.p
    (0.6, 0.25)
    """
    a, b = as_truth(correct_a), as_truth(correct_b)
    if len(a) != len(b):
        raise ValueError(f"{len(a)} cases of A, but {len(b)} of B")
    only_a, only_b = int((a & ~b).sum()), int((b & ~a).sum())
    discordant = only_a + only_b
    p = binomtest(only_a, discordant).pvalue if discordant else 1.0
    interval = _newcombe_method_10(int((a & b).sum()), only_a, only_b, int((~a & ~b).sum()), level)
    return PairedTest((only_a - only_b) / len(a), interval, float(p), "McNemar, exact")


def sign_flips(gains: NDArray[np.int64]) -> float:
    """Two-sided p-value of the sum of the gains, if each gain could equally have the other sign.

    If A and B were equal for a patient, the patient's gain of A over B could equally be a gain of B
    over A. The p-value is the proportion of all 2^k changes of signs whose sum is at least as far
    from 0 as the observed sum. All changes are counted, none is drawn: for each size of gain, the
    sum is a binomial variable, and the distributions are convolved. If all gains have the same
    size, this is McNemar's exact test.

    Args:
        gains: for each patient, the number of cases that A has right minus the number that B has
            right, over all seeds, `(patients,)`.

    >>> sign_flips(np.array([3, 1, 1]))
    0.25
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

    The k-th smallest of m p-values is multiplied by m − k + 1. An adjusted p-value is at least as
    large as those of smaller p-values, and at most 1. None stays None and is not counted in m.

    >>> holm([0.01, 0.04, None])
    [0.02, 0.04, None]
    """
    tested = [(p, i) for i, p in enumerate(p_values) if p is not None]
    if not all(0.0 <= p <= 1.0 for p, _ in tested):
        raise ValueError("a p-value must be between 0 and 1")
    adjusted: list[float | None] = [None] * len(p_values)
    largest = 0.0
    for k, (p, i) in enumerate(sorted(tested)):
        largest = max(largest, min(1.0, p * (len(tested) - k)))
        adjusted[i] = largest
    return adjusted


def _newcombe_method_10(
    both: int, only_a: int, only_b: int, neither: int, level: float
) -> Interval:
    """Square-and-add of the two Wilson intervals, with the correlation φ of A and B."""
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
