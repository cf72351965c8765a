"""A sealed initial model: opened by the sites' key only, for its own network only."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from ucadi_flwr.errors import ProtectionError
from ucadi_flwr.protection.keys import SiteKey
from ucadi_flwr.protection.sealed_model import MAGIC, check_initial, open_initial, seal_initial

KEY = SiteKey.create("bfv")
STATE: dict[str, NDArray[np.float32]] = {
    "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "bias": np.full(2, -1.5, np.float32),
    "scale": np.array(3.0, np.float32),
}
SHAPES = {name: values.shape for name, values in STATE.items()}
BLOB = seal_initial(KEY, STATE)


def test_the_key_holder_reads_what_was_sealed() -> None:
    state = open_initial(KEY, BLOB, SHAPES)
    assert state.keys() == STATE.keys()
    assert all(state[name].tobytes() == STATE[name].tobytes() for name in STATE)
    check_initial(BLOB, KEY.key_id, 27)


def test_the_model_is_encrypted_differently_each_time() -> None:
    assert STATE["conv.weight"].tobytes()[:16] not in BLOB
    assert b"conv" not in BLOB
    assert seal_initial(KEY, STATE) != BLOB
    assert len(BLOB) < 4 * 27 + 400


@given(st.integers(0, len(BLOB) - 1), st.integers(1, 255))
def test_every_altered_byte_is_detected(at: int, by: int) -> None:
    damaged = bytearray(BLOB)
    damaged[at] ^= by
    with pytest.raises(ProtectionError):
        open_initial(KEY, bytes(damaged), SHAPES)


@pytest.mark.parametrize(
    ("blob", "reason"),
    [
        (b"", "not a sealed initial model"),
        (MAGIC, "sealed under key"),
        (BLOB[:-1], "altered"),
        (BLOB[:60], "has 12 bytes; this network's has 108"),
        (BLOB + bytes(2**25), "bytes; this network's has 108"),
    ],
    ids=["nothing", "the magic only", "cut by one", "cut to 60", "too long"],
)
def test_other_bytes_are_refused(blob: bytes, reason: str) -> None:
    with pytest.raises(ProtectionError, match=reason):
        open_initial(KEY, blob, SHAPES)


def test_another_key_and_another_network_are_refused() -> None:
    with pytest.raises(ProtectionError, match=r"sealed under key .* seal it again"):
        open_initial(SiteKey.create("bfv"), BLOB, SHAPES)
    for shapes in (
        {**SHAPES, "bias": (1, 2)},
        dict(reversed(SHAPES.items())),
        {("b" if name == "bias" else name): shape for name, shape in SHAPES.items()},
    ):
        with pytest.raises(ProtectionError, match="altered, or for another network"):
            open_initial(KEY, BLOB, shapes)
