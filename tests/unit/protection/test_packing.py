"""Digits, shares and the bound that keeps a sum from overflowing."""

import numpy as np
import pytest

from ucadi_flwr.errors import ProtectionError
from ucadi_flwr.protection.layout import Layout
from ucadi_flwr.protection.packing import (
    HALF,
    PLAIN_MODULUS,
    SHARE_UNITS,
    PackedModel,
    pack,
    radix,
    share,
    unpack,
)

EACH = pytest.mark.parametrize("n", [2, 3, 4])


@EACH
def test_radix_is_the_largest_odd_one(n: int) -> None:
    assert radix(n) % 2 == 1
    assert radix(n) ** n <= PLAIN_MODULUS < (radix(n) + 2) ** n


@EACH
@pytest.mark.parametrize("values", [0, 1, 2, 3, 4, 5, 1001])
def test_pack_and_unpack_all_digits(n: int, values: int) -> None:
    half = radix(n) // 2
    digits = np.random.default_rng(values).integers(-half, half, values, endpoint=True)
    digits[: values // 3] = half
    digits[values // 3 : values // 2] = -half
    packed = pack(digits, n)
    assert len(packed) == -(-values // n)
    assert (np.abs(packed) <= HALF).all()
    assert (unpack(packed, values, n) == digits).all()


def test_packing_is_what_the_equation_says() -> None:
    r = radix(3)
    assert pack(np.array([1, -2, 3, 4, 5, -6]), 3).tolist() == [
        1 + 3 * r + 5 * r**2,
        -2 + 4 * r - 6 * r**2,
    ]


@EACH
@pytest.mark.parametrize("max_sites", [1, 3, 1000])
def test_sums_at_the_bound_do_not_overflow(n: int, max_sites: int) -> None:
    """All sites at the end of every range, each rounded away from zero."""
    layout = Layout({"w": (2, 2500), "b": (3,)})
    codec = PackedModel(layout, n, max_sites)
    reference = {"w": np.full((2, 2500), 1.0, np.float32), "b": np.zeros(3, np.float32)}
    full = {"w": np.full((2, 2500), -2.0, np.float32), "b": np.full(3, 2.0**19, np.float32)}
    units = SHARE_UNITS // max_sites
    total = codec.encode(full, reference, {}, units) * max_sites
    assert (np.abs(total[1 + len(layout.tensors) :]) <= HALF).all()
    mean, answered = codec.decode(total, max_sites)
    unit = 2.0 / codec.steps
    assert answered == pytest.approx(1.0, abs=max_sites * 2.0**-39)
    assert np.abs(mean["w"] + 2.0).max() <= unit * max_sites / 2 / answered + 1e-6
    assert np.abs(mean["b"] - 2.0**19).max() <= 2.0**-4  # a float32 step there


def test_share_never_exceeds_one() -> None:
    assert share(5, 5) == SHARE_UNITS
    assert sum(share(1, 3) for _ in range(3)) <= SHARE_UNITS
    assert share(1, 3) == SHARE_UNITS // 3


@pytest.mark.parametrize(("weight", "total"), [(0, 5), (-1, 5), (6, 5), (1, 2**41)])
def test_shares_that_cannot_be(weight: int, total: int) -> None:
    with pytest.raises(ProtectionError, match=f"a weight of {weight} of {total}"):
        share(weight, total)


@pytest.mark.parametrize("total", [0, -5, SHARE_UNITS + 1])
def test_a_sum_whose_shares_cannot_be(total: int) -> None:
    codec = PackedModel(Layout({"b": (3,)}), 3, 8)
    slots = codec.encode({"b": np.ones(3, np.float32)}, {"b": np.ones(3, np.float32)}, {}, 7)
    slots[0] = total
    with pytest.raises(ProtectionError, match="the shares add up"):
        codec.decode(slots, 1)
