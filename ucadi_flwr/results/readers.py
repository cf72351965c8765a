"""Reading what human readers called each test case: ``readers.csv``.

Columns, in any order: ``case`` (a name from the model's test cases), ``reader`` (any key, better a
pseudonym) and ``call`` (a class of the task, or yes or no for the positive class). Every reader
has called exactly the model's test cases, each once: readings of other cases compare nothing.
The file is untrusted: its size is checked first, and every error is one line.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.errors import DataError
from ucadi_flwr.files.csv_reader import Table, is_plain, listed, quote, read_table, some
from ucadi_flwr.limits import READERS_BYTES

COLUMNS = ("case", "reader", "call")
_YES_NO = {"yes": True, "no": False}


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
    table = _read(path)
    if not table.rows:
        raise DataError(f"{path}: has no rows; add one per case and reader")
    for column in COLUMNS:
        strange = table.offences(column, lambda text: not text or not is_plain(text))
        table.refuse(f"{column} is not one plain line", strange, "write it again")
    known = set(cases)
    foreign = table.offences("case", lambda case: case not in known)
    remedy = f"readers are compared on exactly the model's {len(cases)} test cases"
    table.refuse("no such test case", foreign, remedy)
    of_class = {name: i == positive for i, name in enumerate(classes)}
    yes_no = {word: value for word, value in _YES_NO.items() if word not in of_class}

    def call(text: str) -> bool | None:
        return of_class.get(text, yes_no.get(text.casefold()))

    unknown = table.offences("call", lambda text: call(text) is None)
    table.refuse("unknown call", unknown, f"calls are {', '.join(classes)}, yes or no")
    calls = [bool(call(row.values["call"])) for row in table.rows]
    return _by_reader(table, calls, cases)


def _by_reader(
    table: Table, calls: Sequence[bool], cases: Sequence[str]
) -> dict[str, NDArray[np.bool_]]:
    """Demand one call per case and reader, and put each reader's in the order of the cases."""
    by_reader: dict[str, dict[str, bool]] = {}
    again = []
    for row, call in zip(table.rows, calls, strict=True):
        reader, case = row.values["reader"], row.values["case"]
        of_reader = by_reader.setdefault(reader, {})
        if case in of_reader:
            again.append((row.line, quote(f"{reader}, {case}")))
        of_reader[case] = call
    table.refuse("a reader calls a case twice", again, "keep one call a case and reader")
    for reader, of_reader in by_reader.items():
        missing = [quote(case) for case in cases if case not in of_reader]
        what = f"reader {quote(reader)} has not called all {len(cases)} test cases"
        if missing:
            raise DataError(
                f"{table.path}: {what}: {some(missing)}; add them, or leave the reader out"
            )
    return {
        reader: np.array([by_reader[reader][case] for case in cases], np.bool_)
        for reader in sorted(by_reader)
    }


def _read(path: Path) -> Table:

    def check_columns(columns: list[str]) -> None:
        if sorted(columns) != sorted(COLUMNS):
            raise DataError(
                f"{path}: line 1: columns are {listed(columns) or 'none'}; name them "
                f"{', '.join(COLUMNS)}"
            )

    remedy = "name a CSV file with columns case, reader and call"
    return read_table(
        path, READERS_BYTES, remedy=remedy, check_columns=check_columns, fold_case=True
    )
