"""The difference between the accuracies of two strategies on the same cases, over seeds."""

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.comparison.cases import Predictions
from ucadi_flwr.comparison.measures import accuracy
from ucadi_flwr.comparison.rates import Rate
from ucadi_flwr.comparison.seeds import estimate
from ucadi_flwr.evaluation.intervals import Interval
from ucadi_flwr.evaluation.paired import mcnemar, sign_flips
from ucadi_flwr.results.analysis import Estimate


def accuracy_difference(
    a: Predictions, b: Predictions, level: float = 0.95
) -> tuple[Estimate, float | None, str]:
    """Accuracy of A minus that of B, mean over seeds: the estimate, its p-value, the test's name.

    With one case per patient, and seeds that all have the same cases right: McNemar's exact test
    (:func:`ucadi_flwr.evaluation.paired.mcnemar`). Otherwise the sign-flip test over patients
    (:func:`ucadi_flwr.evaluation.paired.sign_flips`). This is McNemar's exact test with the gain of
    a whole patient in place of one discordant case: it needs no approximation with few patients,
    and the two tests agree where both apply. Durkalski's χ² for clusters (Statistics in Medicine
    22:2417, 2003) is not used: it gives every patient the same weight, and would test another
    difference than that of the two accuracies.

    With the sign-flip test, the interval is the square-and-add interval (Newcombe, Statistics in
    Medicine 17:2635, 1998) of the intervals of the two accuracies
    (:mod:`ucadi_flwr.comparison.rates`), with their correlation over patients. There is none if A
    and B have the same cases right, because the variance is then unknown. With 20 to 200 cases,
    accuracies of .8 to .98 and three seeds (1,500 samples each), it contained the true value in 93
    to 98 % (percentile bootstrap: 88 to 100). Like every exact test, this test is conservative: at
    a level of 5 %, it rejects equal strategies in 4 % of samples of 200 patients, 3 to 4 % of 60,
    and 2 % of 20 (4,000 samples each).

    Args:
        a: predictions of A.
        b: predictions of B on the same cases, with the same seeds.
        level: of the confidence interval.
    """
    right_a, right_b = a.decisions == a.labels, b.decisions == b.labels
    rate_a, rate_b = accuracy(a), accuracy(b)
    gained = right_a.sum(axis=1) - right_b.sum(axis=1)
    values = (gained / right_a.shape[1]).tolist()
    independent = a.patient_count == len(a.labels)
    if independent and _alike(right_a) and _alike(right_b):
        test = mcnemar(right_a[0], right_b[0], level=level)
        return estimate(values, test.interval), test.p, _method(test.method, a)
    gains = (right_a.astype(np.int64) - right_b).sum(axis=0)
    by_patient = np.zeros(a.patient_count, np.int64)
    np.add.at(by_patient, a.patients, gains)
    same = np.array_equal(right_a, right_b)
    interval = None if same else _square_and_add(rate_a, rate_b, level)
    method = _method("sign flips over patients, exact", a)
    return estimate(values, interval), sign_flips(by_patient), method


def _square_and_add(a: Rate, b: Rate, level: float) -> Interval:
    difference = a.mean - b.mean
    of_a, of_b = a.interval(level), b.interval(level)
    product = float(a.influence @ b.influence)
    squares = float((a.influence @ a.influence) * (b.influence @ b.influence))
    correlation = product / float(np.sqrt(squares)) if squares > 0 else 0.0

    def half(one: float, other: float) -> float:
        return float(np.sqrt(max(one**2 - 2 * correlation * one * other + other**2, 0.0)))

    low = difference - half(a.mean - of_a.low, of_b.high - b.mean)
    high = difference + half(of_a.high - a.mean, b.mean - of_b.low)
    return Interval(max(-1.0, low), min(1.0, high))


def _alike(right: NDArray[np.bool_]) -> bool:
    """Whether every seed has the same cases right."""
    return bool((right == right[0]).all())


def _method(name: str, predictions: Predictions) -> str:
    seeds = len(predictions.seeds)
    return f"{name}, mean of {seeds} seeds" if seeds > 1 else name
