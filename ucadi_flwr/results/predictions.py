"""Predictions on file: case, patient, true class, and the probability of every class.

They name patients' keys, so they stay with whoever holds the images. A file may have been copied,
edited or cut since it was written: every error is one line that names the file.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.errors import DataError
from ucadi_flwr.files.atomic import replacing
from ucadi_flwr.files.csv_reader import quote, read_table
from ucadi_flwr.limits import PREDICTIONS_BYTES

_TOLERANCE = 1e-6  # of the sum of a case's probabilities


@dataclass(frozen=True)
class PredictionFile:
    """Cases and patients by name, class indices `(N,)`, probabilities `(N, classes)`."""

    cases: list[str]
    patients: list[str]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]


def write_predictions(
    path: Path,
    cases: Sequence[tuple[str, str]],
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    classes: Sequence[str],
) -> None:
    """Write one row a case; probabilities are float64 and read back to the same bits.

    Args:
        path: the file, replaced if it exists.
        cases: name and patient of each case.
        labels: class indices `(N,)`.
        probabilities: `(N, classes)`.
        classes: names of the classes, in the order of the columns.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        replacing(path) as partial,
        partial.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(_columns(classes))
        for (case, patient), label, row in zip(cases, labels, probabilities, strict=True):
            writer.writerow([case, patient, classes[label], *(repr(float(p)) for p in row)])


def read_predictions(path: Path, classes: Sequence[str]) -> PredictionFile:
    """Read and check; raise :class:`DataError` naming the file and the first problem."""

    def check_columns(columns: list[str]) -> None:
        if columns != _columns(classes):
            raise DataError(f"{path}: line 1: columns must be {','.join(_columns(classes))}")

    remedy = "predictions of every finished run are needed; run the experiment again"
    table = read_table(path, PREDICTIONS_BYTES, remedy=remedy, check_columns=check_columns)
    if not table.rows:
        raise DataError(f"{path}: has no cases; run the experiment again")
    cases = [row.values["case"] for row in table.rows]
    seen = set[str]()
    for row, case in zip(table.rows, cases, strict=True):
        if case in seen:
            raise DataError(f"{path}: line {row.line}: case {quote(case)} appears twice")
        seen.add(case)
    known = {name: index for index, name in enumerate(classes)}
    unknown = table.offences("label", lambda label: label not in known)
    table.refuse("unknown class", unknown, f"the task has {', '.join(classes)}")
    rows = [
        _probabilities([row.values[name] for name in table.columns[3:]], f"{path}: line {row.line}")
        for row in table.rows
    ]
    return PredictionFile(
        cases,
        [row.values["patient"] for row in table.rows],
        np.array([known[row.values["label"]] for row in table.rows], np.int64),
        np.array(rows),
    )


def _columns(classes: Sequence[str]) -> list[str]:
    return ["case", "patient", "label", *(f"p:{name}" for name in classes)]


def _probabilities(texts: Sequence[str], where: str) -> list[float]:
    try:
        values = [float(text) for text in texts]
    except ValueError as error:
        raise DataError(f"{where}: {error}") from None
    if not all(0.0 <= value <= 1.0 for value in values):  # nor is NaN
        raise DataError(f"{where}: a probability is not between 0 and 1")
    if abs(sum(values) - 1.0) > _TOLERANCE:
        raise DataError(f"{where}: the probabilities sum to {sum(values):.6g}, not to 1")
    return values
