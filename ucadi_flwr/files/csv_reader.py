"""One strict reader for all CSV files that come from outside.

A file is UTF-8 (with or without a byte-order mark), with commas and one header line. Its size is
checked before it is read. Values are stripped, and blank lines are skipped. Every error is one line
that names the file, the lines and the remedy.
"""

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ucadi_flwr.errors import DataError
from ucadi_flwr.limits import TEXT_CHARACTERS

SHOWN_OFFENCES = 3
"""Number of lines that one error names; it counts the others."""

SHOWN_CHARACTERS = 40
"""Characters of an untrusted value that an error shows."""

Offence = tuple[int, str]
"""A line number, and the problem in that line; the text may be empty."""


@dataclass(frozen=True, slots=True)
class CsvRow:
    """One data row: its line number in the file, and column name → value."""

    line: int
    values: dict[str, str]


@dataclass(frozen=True)
class Table:
    """The content of a CSV file: its columns in their order, and its rows."""

    path: Path
    columns: list[str]
    rows: list[CsvRow] = field(repr=False)

    def refuse(self, what: str, offences: Sequence[Offence], remedy: str) -> None:
        """Raise an error if there are offences.

        Args:
            what: the problem in a few words.
            offences: the lines that have it.
            remedy: what the user can do.

        Raises:
            DataError: there are offences; the message names the first ones.
        """
        if not offences:
            return
        shown = [f"line {line} ({text})" if text else f"line {line}" for line, text in offences]
        raise DataError(f"{self.path}: {what}: {some(shown)}; {remedy}")

    def offences(self, column: str, is_bad: Callable[[str], bool]) -> list[Offence]:
        """The lines whose value in ``column`` is bad, with that value quoted."""
        values = ((row.line, row.values.get(column)) for row in self.rows)
        return [(line, quote(v)) for line, v in values if v is not None and is_bad(v)]


def read_table(
    path: Path,
    limit: int,
    *,
    remedy: str,
    check_columns: Callable[[list[str]], None],
    fold_case: bool = False,
) -> Table:
    """Read a CSV file.

    Args:
        path: the file.
        limit: its largest size in bytes (:mod:`ucadi_flwr.limits`).
        remedy: what to do where the file cannot be read.
        check_columns: raises :class:`DataError` for a wrong header, before rows are read.
        fold_case: whether column names are converted to lower case first.

    Raises:
        DataError: the file is missing, too large, not UTF-8 or not CSV, or a row has more or fewer
            values than there are columns.
    """
    reader = csv.reader(io.StringIO(_read_text(path, limit, remedy), newline=""), strict=True)
    rows: list[CsvRow] = []
    uneven: list[Offence] = []
    line = 1
    try:
        columns = [column.strip() for column in next(reader, [])]
        if fold_case:
            columns = [column.casefold() for column in columns]
        check_columns(columns)
        line = reader.line_num + 1
        for fields in reader:
            values = [value.strip() for value in fields]
            if any(values) and len(values) == len(columns):
                rows.append(CsvRow(line, dict(zip(columns, values, strict=True))))
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
    """An untrusted value on one short line; an empty value gives an empty text."""
    short = text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "…"
    return repr(short) if text else ""


def some(texts: Sequence[str]) -> str:
    """The first :data:`SHOWN_OFFENCES` texts, and the number of the others."""
    more = len(texts) - SHOWN_OFFENCES
    return ", ".join(texts[:SHOWN_OFFENCES]) + (f" and {more} more" if more > 0 else "")


def listed(values: Iterable[str], at_most: int = 8) -> str:
    """Untrusted values, quoted and separated by commas; ``…`` stands for those after the first."""
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
