"""One strict reader for all CSV files that come from outside.

UTF-8 (with or without a byte-order mark), commas, one header line. The size is checked before the
file is read; values are stripped; blank lines are skipped; every error is one line that names the
file, the lines, and what to do.
"""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ucadi_flwr.errors import DataError
from ucadi_flwr.files.limits import TEXT_CHARACTERS

SHOWN_OFFENCES = 3
"""Lines that one error names; the others are counted."""

SHOWN_CHARACTERS = 40
"""Of an untrusted value in an error."""

Offence = tuple[int, str]
"""A line number and what is wrong there; the text may be empty."""


@dataclass(frozen=True, slots=True)
class Row:
    """One data row: its line number in the file, and column name → value."""

    line: int
    values: dict[str, str]


@dataclass(frozen=True)
class Table:
    """A file that was read: its columns in their order, and its rows."""

    path: Path
    columns: list[str]
    rows: list[Row] = field(repr=False)

    def refuse(self, what: str, offences: Sequence[Offence], remedy: str) -> None:
        """Raise a :class:`DataError` that names the first offences, if there are any."""
        if not offences:
            return
        shown = [f"line {line} ({text})" if text else f"line {line}" for line, text in offences]
        raise DataError(f"{self.path}: {what}: {some(shown)}; {remedy}")

    def offences(self, column: str, is_bad: Callable[[str], bool]) -> list[Offence]:
        """The rows whose value in ``column`` is bad, with that value quoted."""
        values = ((row.line, row.values.get(column)) for row in self.rows)
        return [(line, quote(v)) for line, v in values if v is not None and is_bad(v)]


def read_table(
    path: Path, limit: int, *, remedy: str, check_columns: Callable[[list[str]], None]
) -> Table:
    """Read a CSV file.

    Args:
        path: the file.
        limit: its largest size in bytes (:mod:`ucadi_flwr.files.limits`).
        remedy: what to do where the file cannot be read.
        check_columns: raises :class:`DataError` if the header does not fit, before rows are read.

    Raises :class:`DataError` where the file is missing, too large, not UTF-8, not CSV, or where a
    row has more or fewer values than there are columns.
    """
    reader = csv.reader(io.StringIO(_read_text(path, limit, remedy), newline=""), strict=True)
    rows: list[Row] = []
    uneven: list[Offence] = []
    line = 1
    try:
        columns = [column.strip() for column in next(reader, [])]
        check_columns(columns)
        line = reader.line_num + 1
        for fields in reader:
            values = [value.strip() for value in fields]
            if any(values) and len(values) == len(columns):
                rows.append(Row(line, dict(zip(columns, values, strict=True))))
            elif any(values):
                uneven.append((line, f"{len(values)} values"))
            line = reader.line_num + 1
    except csv.Error as error:
        raise DataError(f"{path}: line {line} is not CSV ({error}); correct it") from None
    table = Table(path, columns, rows)
    table.refuse("more or fewer values than columns", uneven, f"give {len(columns)} a row")
    return table


def is_plain(text: str) -> bool:
    """Whether a value is one printable line of at most :data:`TEXT_CHARACTERS` characters."""
    return text.isprintable() and len(text) <= TEXT_CHARACTERS


def quote(text: str) -> str:
    """An untrusted value on one short line; '' for nothing."""
    short = text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"
    return repr(short) if text else ""


def some(texts: Sequence[str]) -> str:
    """The first :data:`SHOWN_OFFENCES` texts, and how many more there are."""
    more = len(texts) - SHOWN_OFFENCES
    return ", ".join(texts[:SHOWN_OFFENCES]) + (f" and {more} more" if more > 0 else "")


def listed(values: Iterable[str], at_most: int = 8) -> str:
    """Untrusted values, quoted, with commas."""
    quoted = [quote(value) for value in values if value]
    return ", ".join(quoted[:at_most]) + (", …" if len(quoted) > at_most else "")


def _read_text(path: Path, limit: int, remedy: str) -> str:
    try:
        size = path.stat().st_size
        if size > limit:
            raise DataError(f"{path}: {size} bytes, at most {limit}; {remedy}")
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); {remedy}") from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 at byte {error.start}; save it as UTF-8") from None
