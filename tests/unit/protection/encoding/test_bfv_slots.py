"""Digits, shares and the bound that keeps a sum from overflowing."""

import numpy as np
import pytest

from ucadi_flwr.errors import ProtectionError
from ucadi_flwr.protection.encoding.bfv_slots import BfvModelCodec, digit, radix
from ucadi_flwr.protection.encoding.layout import Layout
from ucadi_flwr.protection.encoding.shares import FULL_SHARE, share_units
from ucadi_flwr.protection.encoding.slots import HALF, PLAIN_MODULUS

EACH = pytest.mark.parametrize("n", [2, 3, 4])


@EACH
def test_radix_is_the_largest_odd_one(n: int) -> None:
    assert radix(n) % 2 == 1
    assert radix(n) ** n <= PLAIN_MODULUS < (radix(n) + 2) ** n


def slots_of(digits: np.ndarray, n: int) -> list[int]:
    """The docstring's equation in Python's integers; digits ``(n, slots)``."""
    return [sum(int(d) * radix(n) ** k for k, d in enumerate(column)) for column in digits.T]


@EACH
def test_digits_come_back(n: int) -> None:
    half = radix(n) // 2
    digits = np.random.default_rng(n).integers(-half, half, (n, 1001), endpoint=True)
    digits[:, :5], digits[:, 5:9] = half, -half
    digits[0, 9:12], digits[-1, 12:15] = half, -half
    slots = np.array(slots_of(digits, n))
    assert (np.abs(slots) <= HALF).all()
    for k in range(n):
        assert (digit(slots, k, n) == digits[k]).all()


@EACH
@pytest.mark.parametrize("values", [4097, 4098, 4100, 3 * 2**18 + 1])
def test_a_model_becomes_the_slots_of_the_equation(n: int, values: int) -> None:
    """Two packed tensors and a wide one, in chunks of any size; and back."""
    layout = Layout({"v": (1, 4099), "w": (1, values), "b": (5,)})
    codec = BfvModelCodec(layout, n, 3)
    rng = np.random.default_rng(values)
    state = {k: rng.normal(0, 1, s).astype(np.float32) for k, s in layout.shapes.items()}
    slots = codec.encode(state, state, {}, FULL_SHARE)
    ranges = slots[1:4].astype(np.uint32).view(np.float32).tolist()
    steps = [2**45, codec.steps, codec.steps]
    fixed = [
        np.rint(state[t.name].ravel().astype(np.float64) * (1.0 / (r / d))).astype(np.int64)
        for t, r, d in zip(layout.tensors, ranges, steps, strict=True)
    ]
    digits = np.zeros((n, -(-(4099 + values) // n)), np.int64)
    digits.reshape(-1)[: 4099 + values] = np.concatenate(fixed[1:])
    assert len(slots) == codec.slots
    assert slots.tolist() == [*slots[:4].tolist(), *fixed[0].tolist(), *slots_of(digits, n)]
    back, _ = codec.decode(slots, 1)
    for name, limit in (("b", 2.0**-20), ("v", 1.0), ("w", 1.0)):
        unit = limit if name == "b" else 2 * np.abs(state[name]).max() / codec.steps
        assert np.abs(back[name] - state[name]).max() <= unit


@EACH
@pytest.mark.parametrize("max_sites", [1, 3, 1000])
def test_sums_at_the_bound_do_not_overflow(n: int, max_sites: int) -> None:
    """All sites at the end of every range, each rounded away from zero."""
    layout = Layout({"w": (2, 2500), "b": (3,)})
    codec = BfvModelCodec(layout, n, max_sites)
    reference = {"w": np.full((2, 2500), 1.0, np.float32), "b": np.zeros(3, np.float32)}
    full = {"w": np.full((2, 2500), -2.0, np.float32), "b": np.full(3, 2.0**19, np.float32)}
    units = FULL_SHARE // max_sites
    total = codec.encode(full, reference, {}, units) * max_sites
    assert (np.abs(total[1 + len(layout.tensors) :]) <= HALF).all()
    mean, answered = codec.decode(total, max_sites)
    unit = 2.0 / codec.steps
    assert answered == pytest.approx(1.0, abs=max_sites * 2.0**-39)
    assert np.abs(mean["w"] + 2.0).max() <= unit * max_sites / 2 / answered + 1e-6
    assert np.abs(mean["b"] - 2.0**19).max() <= 2.0**-4  # a float32 step there


def test_share_never_exceeds_one() -> None:
    assert share_units(5, 5) == FULL_SHARE
    assert sum(share_units(1, 3) for _ in range(3)) <= FULL_SHARE
    assert share_units(1, 3) == FULL_SHARE // 3


@pytest.mark.parametrize(("weight", "total"), [(0, 5), (-1, 5), (6, 5), (1, 2**41)])
def test_impossible_shares(weight: int, total: int) -> None:
    with pytest.raises(ProtectionError, match=f"a weight of {weight} of {total}"):
        share_units(weight, total)


@pytest.mark.parametrize("total", [0, -5, FULL_SHARE + 1])
def test_a_sum_of_impossible_shares(total: int) -> None:
    codec = BfvModelCodec(Layout({"b": (3,)}), 3, 8)
    slots = codec.encode({"b": np.ones(3, np.float32)}, {"b": np.ones(3, np.float32)}, {}, 7)
    slots[0] = total
    with pytest.raises(ProtectionError, match="the shares add up"):
        codec.decode(slots, 1)
