"""Bytes and arrays ⇄ Flower's records. What arrives is checked here before anybody uses it."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, RecordDict
from numpy.typing import NDArray

from ucadi_flwr.errors import FederationError
from ucadi_flwr.files.limits import MULTIPLIERS_CHARACTERS


def blob_record(blobs: Mapping[str, bytes]) -> ArrayRecord:
    """Byte strings by name as arrays of uint8, which Flower sends in chunks."""
    return ArrayRecord({name: Array(np.frombuffer(b, np.uint8)) for name, b in blobs.items()})


def array_record(arrays: Mapping[str, NDArray[Any]]) -> ArrayRecord:
    """Arrays by name."""
    return ArrayRecord({name: Array(values) for name, values in arrays.items()})


def array_values(record: ArrayRecord) -> dict[str, NDArray[Any]]:
    """The inverse of :func:`array_record`, of a record of our own."""
    return {name: array.numpy() for name, array in record.items()}


def blobs(content: RecordDict, record: str) -> dict[str, bytes]:
    """The byte strings of a record by name; none if the record is not there."""
    found = {}
    for name, array in _arrays(content, record).items():
        if array.dtype != np.uint8 or array.ndim != 1:
            raise FederationError(f"'{record}' holds {array.dtype} {array.shape}, expected bytes")
        found[name] = array.tobytes()
    return found


def blob(content: RecordDict, record: str, name: str) -> bytes:
    """One byte string that has to be there."""
    found = blobs(content, record)
    if name not in found:
        raise FederationError(f"the message lacks its '{record}' part '{name}'")
    return found[name]


def model_arrays(content: RecordDict, record: str) -> dict[str, NDArray[Any]]:
    """Arrays by name, as yet unchecked; none if the record is not there."""
    return _arrays(content, record)


def size(content: RecordDict, records: Iterable[str]) -> int:
    """Bytes of these records' arrays, as far as they are there."""
    found = (content.array_records[name] for name in records if name in content.array_records)
    return sum(len(array.data) for record in found for array in record.values())


def read_multipliers(text: str) -> dict[str, int]:
    """JSON of tensor → multiplier, from the other end and so checked."""
    if len(text) > MULTIPLIERS_CHARACTERS:
        raise FederationError(f"{len(text)} characters of range multipliers are too many")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(type(value) is int for value in found.values()):
        raise FederationError("the range multipliers are no JSON object of integers")
    return found


def _arrays(content: RecordDict, record: str) -> dict[str, NDArray[Any]]:
    if record not in content.array_records:
        return {}
    try:
        return array_values(content.array_records[record])
    except (EOFError, KeyError, TypeError, ValueError) as error:
        raise FederationError(f"the message's '{record}' part cannot be read ({error})") from None
