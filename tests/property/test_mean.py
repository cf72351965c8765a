"""The weighted mean equals exact rational arithmetic within rounding, in any order."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ucadi_flwr.aggregation.mean import MAX_CONTRIBUTIONS, MAX_PRODUCT, WeightedMean
from ucadi_flwr.errors import FederationError

VALUES = st.floats(-1e4, 1e4, width=32).map(np.float32)
SITES = st.integers(1, 8).flatmap(
    lambda n: st.tuples(
        st.lists(arrays(np.float32, 5, elements=VALUES), min_size=n, max_size=n),
        st.lists(st.integers(1, 100_000), min_size=n, max_size=n),
        st.permutations(range(n)),
    )
)


def mean_of(states: list[np.ndarray], weights: list[int]) -> np.ndarray:
    mean = WeightedMean()
    for state, weight in zip(states, weights, strict=True):
        mean.add({"w": state}, weight)
    return mean.mean()["w"]


@given(SITES)
def test_any_order_gives_the_same_bits(
    case: tuple[list[np.ndarray], list[int], list[int]],
) -> None:
    states, weights, order = case
    mean = mean_of(states, weights)
    reordered = mean_of([states[i] for i in order], [weights[i] for i in order])
    assert mean.tobytes() == reordered.tobytes()


@given(SITES)
def test_within_a_rounding_of_the_exact_mean(
    case: tuple[list[np.ndarray], list[int], list[int]],
) -> None:
    states, weights, _ = case
    mean = mean_of(states, weights)
    total = sum(weights)
    for i, value in enumerate(mean):
        exact = (
            sum(
                (Fraction(float(s[i])) * w for s, w in zip(states, weights, strict=True)),
                Fraction(0),
            )
            / total
        )
        # half a float32 step of the mean, and 2^-65 for each site from the grid of the sum
        bound = Fraction(float(np.spacing(np.abs(value)))) / 2 * (1 + Fraction(1, 2**20))
        assert abs(Fraction(float(value)) - exact) <= bound + Fraction(len(states), 2**64)


ON_THE_GRID = VALUES.filter(lambda x: x == 0 or abs(x) >= 2.0**-40)


@given(arrays(np.float32, 7, elements=ON_THE_GRID), st.lists(st.integers(1, 4095), min_size=1))
def test_identical_sites_have_their_own_model_as_the_mean(
    state: np.ndarray, weights: list[int]
) -> None:
    assert mean_of([state] * len(weights), weights).tobytes() == (state + 0.0).tobytes()


@settings(max_examples=20)
@given(st.integers(2, 40), st.integers(0, 2**32 - 1))
def test_memory_does_not_grow_with_sites(sites: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    mean = WeightedMean()
    for _ in range(sites):
        mean.add({"w": rng.normal(size=11).astype(np.float32)}, 3)
    kept = [a.nbytes for a in (*mean._coarse.values(), *mean._fine.values())]
    assert kept == [11 * 8, 11 * 8]


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 2.0 * MAX_PRODUCT])
def test_a_value_that_cannot_be_added_is_named_and_changes_nothing(bad: float) -> None:
    mean = WeightedMean()
    mean.add({"a": np.ones(2, np.float32), "b": np.ones(2, np.float32)}, 1)
    diverged = {"a": np.ones(2, np.float32), "b": np.array([0, bad], np.float32)}
    with pytest.raises(FederationError, match="tensor 'b' holds"):
        mean.add(diverged, 1)
    assert mean.contributions == 1
    assert mean.mean()["a"].tolist() == [1.0, 1.0]


def test_a_mean_needs_positive_weights_and_a_contribution() -> None:
    with pytest.raises(FederationError, match="no contributions"):
        WeightedMean().mean()
    with pytest.raises(FederationError, match="weight of 0"):
        WeightedMean().add({"w": np.zeros(1, np.float32)}, 0)


def test_extremes_do_not_overflow() -> None:
    largest = np.array([MAX_PRODUCT * (1 - 2**-20)], np.float32)
    mean = WeightedMean()
    mean.add({"w": largest}, 1)
    mean.contributions = MAX_CONTRIBUTIONS - 1
    mean._coarse["w"] *= MAX_CONTRIBUTIONS - 1  # as if that many had been added
    mean.total_weight = MAX_CONTRIBUTIONS - 1
    mean.add({"w": largest}, 1)
    assert mean.mean()["w"] == largest
    with pytest.raises(FederationError, match="more than 8192"):
        mean.add({"w": largest}, 1)
