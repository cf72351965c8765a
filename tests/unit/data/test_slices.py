"""Which slices of a volume are extracted, and how HU become grey levels."""

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucadi_flwr.data.series import ExclusionError
from ucadi_flwr.data.slices import SliceSelection, grey_levels, selected_slices, unique_names
from ucadi_flwr.errors import DataError
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.task import TaskRecipe


@pytest.mark.parametrize(
    ("slices", "selection", "indices"),
    [
        (40, SliceSelection(4, 0.5), [12, 17, 22, 27]),  # of 10 … 29
        (40, SliceSelection(1, 0.5), [20]),
        (40, SliceSelection(2, 1.0), [10, 30]),
        (12, SliceSelection(10, 0.5), [3, 4, 5, 6, 7, 8]),  # fewer than per_volume: all of them
        (5, SliceSelection(10, 1.0), [0, 1, 2, 3, 4]),
        (1, SliceSelection(), [0]),
        (3, SliceSelection(5, 0.01), [1]),
    ],
)
def test_slices_by_hand(slices: int, selection: SliceSelection, indices: list[int]) -> None:
    assert selected_slices(slices, selection) == indices


@given(
    slices=st.integers(1, 2000),
    wanted=st.integers(1, 300),
    share=st.floats(0.001, 1.0),
)
def test_slices_are_different_even_and_in_the_middle(
    slices: int, wanted: int, share: float
) -> None:
    indices = selected_slices(slices, SliceSelection(wanted, share))
    inside = max(round(slices * share), 1)
    assert len(indices) == min(wanted, inside)
    assert indices[0] >= 0
    assert indices[-1] < slices
    gaps = {b - a for a, b in itertools.pairwise(indices)}
    assert all(gap > 0 for gap in gaps)
    assert max(gaps, default=0) - min(gaps, default=0) <= 1
    assert indices[-1] - indices[0] < inside
    below, above = indices[0], slices - 1 - indices[-1]
    assert abs(below - above) <= 2


def test_grey_is_the_nearest_of_256_levels_over_the_window() -> None:
    hu = np.arange(-2048, 3072, dtype=np.float32).reshape(64, 80)
    grey = grey_levels(hu, (-1200.0, 600.0))
    by_hand = [
        round(Fraction(min(max(int(value), -1200), 600) + 1200, 1800) * 255) for value in hu.flat
    ]
    assert grey.dtype == np.uint8
    np.testing.assert_array_equal(grey.ravel(), by_hand)
    assert grey[hu == -1200] == grey[hu == -2048] == 0
    assert grey[hu == 600] == grey[hu == 3071] == 255


@given(low=st.integers(-3000, 2000), width=st.integers(1, 4000), seed=st.integers(0, 99))
def test_grey_of_any_window_against_interpolation(low: int, width: int, seed: int) -> None:
    hu = np.random.default_rng(seed).uniform(-4000, 4000, (5, 7)).astype(np.float32)
    expected = np.interp(hu, [low, low + width], [0, 255])
    grey = grey_levels(hu, (float(low), float(low + width)))
    assert np.abs(grey - expected).max() <= 0.5 + 1e-9


def test_infinite_voxels_are_black_or_white_and_nan_is_refused() -> None:
    hu = np.array([[-np.inf, np.inf]], dtype=np.float32)
    assert grey_levels(hu, (-1200.0, 600.0)).tolist() == [[0, 255]]
    hu[0, 0] = np.nan
    with pytest.raises(ExclusionError, match=r"unreadable: .*not numbers"):
        grey_levels(hu, (-1200.0, 600.0))


def test_the_default_window_is_that_of_tasks_on_volumes() -> None:
    images = loader.load(TaskRecipe, "ct-covid4").images
    assert images.kind == "ct-volume"
    assert SliceSelection().window_hu == images.window_hu == (-1200.0, 600.0)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"per_volume": 0}, "per-volume is 0: take at least 1"),
        ({"share": 0.0}, "share is 0: take a part above 0 and up to 1"),
        ({"share": 1.5}, r"share is 1\.5"),
        ({"share": float("nan")}, "share is nan"),
        ({"window_hu": (600.0, -1200.0)}, "window is 600 to -1200: give two HU, the lower one"),
        ({"window_hu": (0.0, 0.0)}, "window is 0 to 0"),
        ({"window_hu": (0.0, float("inf"))}, "window is 0 to inf"),
        ({"window_hu": (float("nan"), 1.0)}, "window is nan to 1"),
    ],
)
def test_selections_out_of_range_are_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(DataError, match=message):
        SliceSelection(**wrong)


def test_names_are_unique_for_any_stems() -> None:
    stems = ["a", "b", "a", "a-2", "A", "x\\y", "a"]
    assert unique_names(stems) == ["a", "b", "a-2", "a-2-2", "A-3", "x_y", "a-4"]


@given(st.lists(st.text("aA2-\\", min_size=1, max_size=4), max_size=30))
def test_names_differ_also_without_regard_to_case(stems: list[str]) -> None:
    names = unique_names(stems)
    assert len({name.casefold() for name in names}) == len(stems)
    assert not any("\\" in name for name in names)
