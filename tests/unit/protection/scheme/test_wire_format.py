"""The wire format: what is dropped; any bytes give coefficients below their primes."""

import numpy as np
import pytest

from ucadi_flwr.protection.scheme.wire_format import WireFormat

Q60, Q40 = 1152921504606830593, 1099510890497


def polynomial(wire_format: WireFormat, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([rng.integers(0, p, wire_format.degree) for p in wire_format.primes])


def test_nothing_is_lost_where_nothing_is_dropped() -> None:
    wire_format = WireFormat((Q60, Q40), 32, 0)
    coefficients = polynomial(wire_format, 1)
    coefficients[:, 0] = [p - 1 for p in wire_format.primes]
    wire = wire_format.to_wire(coefficients.astype("<u8").tobytes())
    assert len(wire) == wire_format.size == 32 * (8 + 5)
    assert (
        np.frombuffer(wire_format.from_wire(wire), "<u8").reshape(2, 32).tolist()
        == coefficients.tolist()
    )


def test_dropped_bits_cost_at_most_half_of_them() -> None:
    wire_format = WireFormat((Q60,), 4096, 4)
    coefficients = polynomial(wire_format, 2)
    coefficients[0, :2] = 0, Q60 - 1
    wire = wire_format.to_wire(coefficients.astype("<u8").tobytes())
    back = np.frombuffer(wire_format.from_wire(wire), "<u8").astype(np.int64)
    assert len(wire) == wire_format.size == 7 * 4096
    assert np.abs(back - coefficients[0]).max() == 8
    assert (back < Q60).all()


@pytest.mark.parametrize("byte", [0, 0xFF])
def test_any_bytes_give_coefficients_below_their_primes(byte: int) -> None:
    for wire_format in (WireFormat((Q60, Q40), 8, 0), WireFormat((Q60,), 8, 4)):
        back = np.frombuffer(wire_format.from_wire(bytes([byte]) * wire_format.size), "<u8")
        limits = np.repeat(np.array(wire_format.primes, np.uint64), 8)
        assert (back < limits).all()
        assert (back == limits - 1).all() == (byte == 0xFF)
