"""Records that arrive: what cannot be what it should be is refused, and allocates nothing."""

import io
import tracemalloc

import numpy as np
import pytest
from flwr.app import Array, ArrayRecord, ConfigRecord, RecordDict

from ucadi_flwr.errors import FederationError
from ucadi_flwr.exchange import wire


def npy(header: str) -> bytes:
    """An array file of NumPy with a header of one's own, and three bytes of data."""
    text = header.encode().ljust(118) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + b"abc"


@pytest.mark.parametrize(
    "values",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=np.int64).reshape(2, 3)),
        np.zeros((0, 4), np.float64),
        np.array(3.5, np.float32),
        np.frombuffer(b"bytes", np.uint8),
    ],
)
def test_arrays_come_back_equal_and_read_only(values: np.ndarray) -> None:
    record = wire.array_record({"x": values})
    there = wire.arrays(RecordDict({"r": record}), "r")["x"]
    assert there.dtype == values.dtype
    assert np.array_equal(there, values)
    assert not there.flags.writeable
    assert np.array_equal(wire.array_values(record)["x"], values)


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (Array(np.zeros(3, np.int64)), "holds int64 .3,., expected bytes"),
        (Array(np.zeros((2, 2), np.uint8)), "holds uint8 .2, 2., expected bytes"),
        (Array("uint8", (3,), "numpy.ndarray", b""), "cannot be read"),
        (Array("uint8", (3,), "pickle", b"x"), "cannot be read"),
    ],
)
def test_records_that_are_no_bytes_are_refused(array: Array, message: str) -> None:
    content = RecordDict({"sealed": ArrayRecord({"model": array})})
    with pytest.raises(FederationError, match=message):
        wire.blobs(content, "sealed")
    with pytest.raises(FederationError, match="lacks its 'sealed' part 'model'"):
        wire.blob(RecordDict({"config": ConfigRecord()}), "sealed", "model")


@pytest.mark.parametrize(
    "header",
    [
        f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({2**62},)}}",
        f"{{'descr': '<f8', 'fortran_order': False, 'shape': ({2**31}, {2**31})}}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (-3,)}",
        "{'descr': '|u1', 'fortran_order': False, 'shape': (2,)}",
        "{'descr': '|O', 'fortran_order': False, 'shape': (3,)}",
        "{'descr': '<U1', 'fortran_order': False, 'shape': (3,)}",
        "{'descr': '<c8', 'fortran_order': False, 'shape': (3,)}",
        "{'descr': '|u1', 'fortran_order': False}",
        "__import__('os')",
    ],
)
def test_a_header_that_the_bytes_do_not_fill_is_refused_unallocated(header: str) -> None:
    array = Array("uint8", (3,), "numpy.ndarray", npy(header))
    content = RecordDict({"sealed": ArrayRecord({"model": array})})
    tracemalloc.start()
    with pytest.raises(FederationError, match="'sealed' part cannot be read") as refused:
        wire.blob(content, "sealed", "model")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 2**20
    assert len(str(refused.value)) < 250


def test_only_the_part_that_is_asked_for_is_copied() -> None:
    large = Array(np.zeros(10_000_000, np.uint8))
    small = Array(np.frombuffer(b"abc", np.uint8))
    content = RecordDict({"sealed": ArrayRecord({"model": large, "losses": small})})
    tracemalloc.start()
    assert wire.blob(content, "sealed", "losses") == b"abc"
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1_000_000
    assert io.BytesIO(wire.blob(content, "sealed", "model")).getbuffer().nbytes == 10_000_000
