"""Bytes and arrays ⇄ Flower's records. What arrives is checked here before anything uses it."""

import io
import json
import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, RecordDict
from numpy.typing import NDArray

from ucadi_flwr.errors import FederationError
from ucadi_flwr.limits import MULTIPLIERS_CHARACTERS

_HEADER_CHARACTERS = 10_000  # of an array's header, as NumPy's own default
_PLAIN_KINDS = "biuf"  # of dtypes: boolean, integers, floating point
_READ_HEADER = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def blob_record(blobs: Mapping[str, bytes]) -> ArrayRecord:
    """Byte strings by name as arrays of uint8, which Flower sends in chunks."""
    return ArrayRecord({name: Array(np.frombuffer(b, np.uint8)) for name, b in blobs.items()})


def array_record(arrays: Mapping[str, NDArray[Any]]) -> ArrayRecord:
    """Arrays by name."""
    return ArrayRecord({name: Array(values) for name, values in arrays.items()})


def array_values(record: ArrayRecord) -> dict[str, NDArray[Any]]:
    """The inverse of :func:`array_record`; read-only views of the record's bytes."""
    return {name: _view(array) for name, array in record.items()}


def blobs(content: RecordDict, record: str) -> dict[str, bytes]:
    """The byte strings of a record by name; none if the record is not there."""
    return {name: blob(content, record, name) for name in content.array_records.get(record, ())}


def blob(content: RecordDict, record: str, name: str) -> bytes:
    """One byte string that has to be there; no other array is copied."""
    values = array(content, record, name)
    if values.dtype != np.uint8 or values.ndim != 1:
        raise FederationError(f"'{record}' holds {values.dtype} {values.shape}, expected bytes")
    return values.tobytes()


def arrays(content: RecordDict, record: str) -> dict[str, NDArray[Any]]:
    """The arrays of a record by name, read-only; none if the record is not there."""
    return {name: array(content, record, name) for name in content.array_records.get(record, ())}


def array(content: RecordDict, record: str, name: str) -> NDArray[Any]:
    """One array that has to be there, as a read-only view of the message's bytes.

    Its header is untrusted: a shape that the bytes do not fill allocates nothing.
    """
    sent = content.array_records[record].get(name) if record in content.array_records else None
    if sent is None:
        raise FederationError(f"the message lacks its '{record}' part '{name[:64]}'")
    try:
        return _view(sent)
    except (EOFError, TypeError, ValueError) as error:
        raise FederationError(f"the message's '{record}' part cannot be read ({error})") from None


def size(content: RecordDict, records: Iterable[str]) -> int:
    """Bytes of these records' arrays, as far as they are there."""
    there = (content.array_records[name] for name in records if name in content.array_records)
    return sum(len(array.data) for record in there for array in record.values())


def read_multipliers(text: str) -> dict[str, int]:
    """JSON of tensor → multiplier, from the other end and so checked."""
    if len(text) > MULTIPLIERS_CHARACTERS:
        raise FederationError(f"{len(text)} characters of range multipliers are too many")
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict) or not all(type(value) is int for value in values.values()):
        raise FederationError("the range multipliers are no JSON object of integers")
    return values


def _view(array: Array) -> NDArray[Any]:
    """Parse NumPy's own format (``.npy``), in which Flower sends arrays."""
    stream = io.BytesIO(array.data)
    version = np.lib.format.read_magic(stream)
    if version not in _READ_HEADER:
        raise ValueError(f"version {version} of NumPy's format")
    shape, fortran, dtype = _READ_HEADER[version](stream, max_header_size=_HEADER_CHARACTERS)
    if dtype.kind not in _PLAIN_KINDS:
        raise ValueError(f"an array of {dtype}")
    count, start = math.prod(shape), stream.tell()
    if min(shape, default=0) < 0 or count * dtype.itemsize != len(array.data) - start:
        raise ValueError(f"{len(array.data) - start} bytes for an array {dtype} {shape}"[:120])
    values = np.frombuffer(array.data, dtype, count, start)
    return values.reshape(shape, order="F" if fortran else "C")
