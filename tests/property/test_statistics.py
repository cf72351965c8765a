"""The variance of the AUC and Holm's adjustment, compared with slow versions of the definitions."""

from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from helpers.known import known
from helpers.one_model import area_of, difference_of
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ucadi_flwr.evaluation.delong import auc_components
from ucadi_flwr.evaluation.paired import holm, mcnemar

Case = tuple[bool, int, int, int]
"""Positive or not, score of A, score of B, patient: few values, so many ties."""

CASES = st.lists(
    st.tuples(st.booleans(), st.integers(0, 6), st.integers(0, 6), st.integers(0, 9)),
    min_size=4,
    max_size=24,
)


def psi(x: int, y: int) -> Fraction:
    return Fraction(1) if x > y else Fraction(1, 2) if x == y else Fraction(0)


def slow(cases: list[Case], score: int, other: int) -> tuple[Fraction, Fraction | None]:
    """AUC of one score and its covariance with another's (Obuchowski 1997): all pairs, exactly."""
    positives = [c for c in cases if c[0]]
    negatives = [c for c in cases if not c[0]]
    m, n = len(positives), len(negatives)
    patients = sorted({c[3] for c in cases})

    def components(s: int) -> tuple[Fraction, list[Fraction], list[Fraction]]:
        area = sum((psi(x[s], y[s]) for x, y in product(positives, negatives)), Fraction(0)) / m / n
        v10 = [sum((psi(x[s], y[s]) for y in negatives), Fraction(0)) / n for x in positives]
        v01 = [sum((psi(x[s], y[s]) for x in positives), Fraction(0)) / m for y in negatives]
        xs = [
            sum((v - area for c, v in zip(positives, v10, strict=True) if c[3] == p), Fraction(0))
            for p in patients
        ]
        ys = [
            sum((v - area for c, v in zip(negatives, v01, strict=True) if c[3] == p), Fraction(0))
            for p in patients
        ]
        return area, xs, ys

    area, xa, ya = components(score)
    _, xb, yb = components(other)
    i, i10, i01 = len(patients), len({c[3] for c in positives}), len({c[3] for c in negatives})
    if i10 < 2 or i01 < 2:
        return area, None
    s10 = Fraction(i10, (i10 - 1) * m) * sum(a * b for a, b in zip(xa, xb, strict=True))
    s01 = Fraction(i01, (i01 - 1) * n) * sum(a * b for a, b in zip(ya, yb, strict=True))
    s11 = Fraction(i, i - 1) * sum(a * b for a, b in zip(xa, yb, strict=True))
    s11 += Fraction(i, i - 1) * sum(a * b for a, b in zip(xb, ya, strict=True))
    return area, s10 / m + s01 / n + s11 / (m * n)


@settings(max_examples=100)
@given(CASES, st.booleans())
def test_auc_and_variances_are_those_of_the_definition(cases: list[Case], alone: bool) -> None:
    if alone:
        cases = [(*c[:3], i) for i, c in enumerate(cases)]
    truth, a, b, patient = (np.array(x) for x in zip(*cases, strict=True))
    if truth.all() or not truth.any():
        assert auc_components(truth, a, patient) is None
        return
    estimate, paired = area_of(truth, a, patient), difference_of(truth, a, b, patient)
    (area_a, var_a), (area_b, var_b) = slow(cases, 1, 1), slow(cases, 2, 2)
    covariance = slow(cases, 1, 2)[1]
    assert estimate.auc == pytest.approx(float(area_a), abs=1e-15)
    assert paired.difference == pytest.approx(float(area_a - area_b), abs=1e-15)
    if var_a is None or var_b is None or covariance is None:  # all three, of few patients
        assert (estimate.variance, paired.p) == (None, None)
        return
    assert estimate.variance == pytest.approx(float(var_a), rel=1e-12, abs=0)
    variance = var_a + var_b - 2 * covariance
    assert variance >= 0
    if variance == 0:
        assert paired.p == (1.0 if area_a == area_b else None)
        return
    half = 1.959963984540054 * float(variance) ** 0.5
    interval = known(paired.interval)
    assert interval.low == pytest.approx(max(-1, float(area_a - area_b) - half), abs=1e-12)
    assert interval.high == pytest.approx(min(1, float(area_a - area_b) + half), abs=1e-12)
    assert 0 <= known(paired.p) <= 1


@settings(max_examples=50)
@given(CASES, st.integers(0, 99))
def test_neither_the_order_nor_the_names_matter(cases: list[Case], seed: int) -> None:
    truth, a, b, patient = (np.array(x) for x in zip(*cases, strict=True))
    order = np.random.default_rng(seed).permutation(len(cases))
    names = np.array(list("zyxwvutsrq"))[patient]
    shuffled = truth[order], a[order], names[order]
    if auc_components(truth, a, patient) is None:
        assert auc_components(*shuffled) is None
        return
    one, other = area_of(truth, a, patient), area_of(*shuffled)
    assert one.auc == other.auc
    assert (one.variance is None) == (other.variance is None)
    assert (one.variance or 0) == pytest.approx(other.variance or 0, rel=1e-12, abs=0)
    there, back = difference_of(truth, a, b, patient), difference_of(truth, b, a, patient)
    assert there.difference == -back.difference
    assert there.p == back.p


@settings(max_examples=50)
@given(CASES)
def test_an_interval_contains_its_estimate_and_has_a_width(cases: list[Case]) -> None:
    truth, a, b, patient = (np.array(x) for x in zip(*cases, strict=True))
    assume(truth.any() and not truth.all())
    estimate = area_of(truth, a, patient)
    assume(estimate.variance is not None)
    interval, wider = known(estimate.interval()), known(estimate.interval(0.99))
    assert 0 <= wider.low <= interval.low <= estimate.auc <= interval.high <= wider.high <= 1
    assert interval.low < interval.high
    paired = mcnemar(truth == (a > 3), truth == (b > 3))
    limits = known(paired.interval)
    assert -1 <= limits.low <= paired.difference <= limits.high <= 1


@given(st.lists(st.one_of(st.none(), st.floats(0, 1)), max_size=12))
def test_holm_is_the_closed_test(p_values: list[float | None]) -> None:
    """Adjusted p: the largest (m − k + 1) p(k) of all p(k) that are not larger (Holm 1979)."""
    tested = sorted(p for p in p_values if p is not None)
    for p, adjusted in zip(p_values, holm(p_values), strict=True):
        if p is None:
            assert adjusted is None
        else:
            scaled = [(len(tested) - k) * q for k, q in enumerate(tested) if q <= p]
            assert adjusted == min(1.0, max(scaled))
