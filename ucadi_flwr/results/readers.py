"""Reading what human readers called each test case: ``readers.csv``.

Columns, in any order: ``case`` (a name from the model's test cases), ``reader`` (any key, better a
pseudonym) and ``call`` (a class of the task, or yes or no for the positive class). Every reader
has called exactly the model's test cases, each once: readings of other cases compare nothing.
The file is untrusted: its size is checked first, and every error is one line.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.errors import DataError

MAX_BYTES = 16 * 2**20
COLUMNS = ("case", "reader", "call")
_YES_NO = {"yes": True, "no": False}
_MAX_TEXT = 1024  # characters of one value
_SHOWN = 3  # offences named in one message
_MAX_SHOWN = 40  # characters of a value in a message


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    case: str
    reader: str
    call: str


def read_readers(
    path: Path, cases: Sequence[str], classes: Sequence[str], positive: int
) -> dict[str, NDArray[np.bool_]]:
    """Each reader's calls, whether positive, `(N,)` in the order of ``cases``; readers by name.

    A class is written as the task has it; yes and no in any case, unless a class is called so.
    Raises DataError, one line that says where, what, and what to do, for a file that is not as
    described above.
    """
    if not 0 <= positive < len(classes):
        raise ValueError(f"class {positive} of {len(classes)} classes")
    if len(set(cases)) < len(cases):
        raise DataError(f"{path}: two test cases have one name; give every case its own name")
    rows = list(_rows(path))
    if not rows:
        raise DataError(f"{path}: has no rows; add one per case and reader")
    values = [(row.line, value) for row in rows for value in (row.case, row.reader, row.call)]
    strange = [(line, value) for line, value in values if not _is_plain(value)]
    _refuse(path, "case, reader or call is not one plain line", strange, "write it again")
    known = set(cases)
    foreign = [(row.line, row.case) for row in rows if row.case not in known]
    remedy = f"readers are compared on exactly the model's {len(cases)} test cases"
    _refuse(path, "no such test case", foreign, remedy)
    of_class = {name: i == positive for i, name in enumerate(classes)}
    yes_no = {word: value for word, value in _YES_NO.items() if word not in of_class}
    calls = [of_class.get(row.call, yes_no.get(row.call.casefold())) for row in rows]
    unknown = [(row.line, row.call) for row, call in zip(rows, calls, strict=True) if call is None]
    _refuse(path, "unknown call", unknown, f"calls are {', '.join(classes)}, yes or no")
    return _by_reader(path, rows, calls, cases)


def _by_reader(
    path: Path, rows: Sequence[_Row], calls: Sequence[bool | None], cases: Sequence[str]
) -> dict[str, NDArray[np.bool_]]:
    """Demand one call per case and reader, and put each reader's in the order of the cases."""
    found: dict[str, dict[str, bool]] = {}
    again = []
    for row, call in zip(rows, calls, strict=True):
        of_reader = found.setdefault(row.reader, {})
        if row.case in of_reader:
            again.append((row.line, f"{row.reader}, {row.case}"))
        of_reader[row.case] = bool(call)
    _refuse(path, "a reader calls a case twice", again, "keep one call a case and reader")
    for reader, of_reader in found.items():
        lost = [_quote(case) for case in cases if case not in of_reader]
        what = f"reader {_quote(reader)} has not called all {len(cases)} test cases"
        if lost:
            raise DataError(f"{path}: {what}: {_some(lost)}; add them, or leave the reader out")
    return {
        reader: np.array([found[reader][case] for case in cases], np.bool_)
        for reader in sorted(found)
    }


def _rows(path: Path) -> Iterator[_Row]:
    """Rows with their line numbers, values stripped; blank lines are skipped."""
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    line = 1
    try:
        header = [column.strip().casefold() for column in next(reader, [])]
        if sorted(header) != sorted(COLUMNS):
            found = ", ".join(_quote(column) for column in header[:8]) or "none"
            wanted = ", ".join(COLUMNS)
            raise DataError(f"{path}: line 1: columns are {found}; name them {wanted}")
        line = reader.line_num + 1
        for fields in reader:
            values = [field.strip() for field in fields]
            if any(values) and len(values) != len(header):
                raise DataError(f"{path}: line {line} has {len(values)} fields; give it 3")
            if any(values):
                yield _Row(line, **dict(zip(header, values, strict=True)))
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}: line {line} is not CSV ({error}); mend it") from None


def _text(path: Path) -> str:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise DataError(f"{path}: {size} bytes, at most {MAX_BYTES}; divide it")
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); name a CSV file") from error
    except UnicodeDecodeError as error:
        place = f"byte {error.start}"
        raise DataError(f"{path}: not UTF-8 at {place}; save it as CSV UTF-8") from None


def _refuse(path: Path, what: str, offences: Sequence[tuple[int, str]], remedy: str) -> None:
    """Raise one line that names the first few offences and counts the others, if any."""
    if offences:
        named = [f"line {line} ({_quote(text)})" for line, text in offences]
        raise DataError(f"{path}: {what}: {_some(named)}; {remedy}")


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more


def _is_plain(text: str) -> bool:
    return bool(text) and text.isprintable() and len(text) <= _MAX_TEXT


def _quote(text: str) -> str:
    """Show an untrusted value on one short line."""
    return repr(text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…")
