"""WireFormat on the wire: what is cut, and that no bytes can make an invalid word."""

import numpy as np
import pytest

from ucadi_flwr.protection.scheme.wire_format import WireFormat

Q60, Q40 = 1152921504606830593, 1099510890497


def polynomial(words: WireFormat, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.stack([rng.integers(0, p, words.degree) for p in words.primes])


def test_nothing_is_lost_where_nothing_is_dropped() -> None:
    words = WireFormat((Q60, Q40), 32, 0)
    there = polynomial(words, 1)
    there[:, 0] = [p - 1 for p in words.primes]
    wire = words.to_wire(there.astype("<u8").tobytes())
    assert len(wire) == words.size == 32 * (8 + 5)
    assert np.frombuffer(words.from_wire(wire), "<u8").reshape(2, 32).tolist() == there.tolist()


def test_dropped_bits_cost_at_most_half_of_them() -> None:
    words = WireFormat((Q60,), 4096, 4)
    there = polynomial(words, 2)
    there[0, :2] = 0, Q60 - 1
    wire = words.to_wire(there.astype("<u8").tobytes())
    back = np.frombuffer(words.from_wire(wire), "<u8").astype(np.int64)
    assert len(wire) == words.size == 7 * 4096
    assert np.abs(back - there[0]).max() == 8
    assert (back < Q60).all()


@pytest.mark.parametrize("byte", [0, 0xFF])
def test_any_bytes_give_words_below_their_primes(byte: int) -> None:
    for words in (WireFormat((Q60, Q40), 8, 0), WireFormat((Q60,), 8, 4)):
        back = np.frombuffer(words.from_wire(bytes([byte]) * words.size), "<u8")
        limits = np.repeat(np.array(words.primes, np.uint64), 8)
        assert (back < limits).all()
        assert (back == limits - 1).all() == (byte == 0xFF)
