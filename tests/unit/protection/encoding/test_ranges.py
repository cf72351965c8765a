"""Ranges: a pure rule; a value that does not fit, fits in the wider range that is asked for."""

import pickle

import numpy as np
import pytest

from ucadi_flwr.errors import ProtectionError
from ucadi_flwr.protection.encoding.layout import Layout
from ucadi_flwr.protection.encoding.ranges import (
    MAX_MULTIPLIER,
    WIDE_RANGE,
    OutOfRange,
    check_ranges,
    usual_ranges,
)

LAYOUT = Layout({"w": (2, 2500), "zero": (2, 2500), "b": (3,)})
STATE = {
    "w": np.full((2, 2500), -0.25, np.float32),
    "zero": np.zeros((2, 2500), np.float32),
    "b": np.zeros(3, np.float32),
}


def with_value(name: str, value: float) -> dict[str, np.ndarray]:
    changed = STATE[name].copy()
    changed.flat[1] = value
    return STATE | {name: changed}


def fits(state: dict[str, np.ndarray], multipliers: dict[str, int]) -> None:
    ranges = usual_ranges(LAYOUT, STATE, multipliers)
    check_ranges(LAYOUT, state, ranges, multipliers)


def test_the_rule() -> None:
    assert usual_ranges(LAYOUT, STATE, {}).tolist() == [WIDE_RANGE, 0.5, 1.0]  # b, w, zero
    assert usual_ranges(LAYOUT, STATE, {"w": 4, "b": 2}).tolist() == [2 * WIDE_RANGE, 2.0, 1.0]


def test_a_range_is_never_infinite() -> None:
    largest = float(np.finfo(np.float32).max)
    assert usual_ranges(LAYOUT, with_value("w", largest), {}).tolist()[1] == largest


@pytest.mark.parametrize(
    ("name", "value", "multiplier"),
    [("w", 0.5000001, 2), ("w", -1.1, 4), ("zero", 1.5, 2), ("b", 2.0**20 + 1, 4)],
)
def test_out_of_range_names_the_tensor_and_a_range_that_fits(
    name: str, value: float, multiplier: int
) -> None:
    state = with_value(name, value)
    with pytest.raises(OutOfRange, match=f"'{name}' needs {multiplier} ×") as caught:
        fits(state, {})
    assert caught.value.multipliers == {name: multiplier}
    fits(state, caught.value.multipliers)


def test_at_the_end_of_the_range_fits() -> None:
    fits(with_value("w", -0.5), {})
    with pytest.raises(OutOfRange):
        fits(with_value("w", np.nextafter(np.float32(0.5), np.float32(1))), {})


def test_all_tensors_are_named_at_once_with_multipliers_of_the_usual_range() -> None:
    state = with_value("w", 9.0) | {"b": np.full(3, 2.0**21, np.float32)}
    with pytest.raises(OutOfRange, match="1 more tensors too") as caught:
        fits(state, {"w": 2})
    assert caught.value.multipliers == {"b": 4, "w": 32}
    copied = pickle.loads(pickle.dumps(caught.value))  # noqa: S301 - ours
    assert copied.multipliers == caught.value.multipliers
    assert str(copied) == str(caught.value)


def test_a_model_that_has_diverged() -> None:
    with pytest.raises(ProtectionError, match="'w' exceeds every range"):
        fits(with_value("w", 2.0**30), {})


@pytest.mark.parametrize("multiplier", [0, -2, 3, 2 * MAX_MULTIPLIER])
def test_impossible_multipliers(multiplier: int) -> None:
    with pytest.raises(ProtectionError, match=f"cannot have {multiplier} ×"):
        usual_ranges(LAYOUT, STATE, {"w": multiplier})


def test_a_multiplier_of_no_tensor() -> None:
    with pytest.raises(ProtectionError, match="names tensor 'x'"):
        usual_ranges(LAYOUT, STATE, {"x": 2})
