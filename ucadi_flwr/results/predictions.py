"""Predictions on file. They name patients' keys: they stay with whoever holds the images."""

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.errors import DataError


def write_predictions(
    path: Path,
    cases: Sequence[tuple[str, str]],
    labels: NDArray[np.int64],
    probabilities: NDArray[np.float64],
    classes: Sequence[str],
) -> None:
    """One row a case: name, patient, true class, probability of every class (float64, exact)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    with partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["case", "patient", "label", *(f"p:{name}" for name in classes)])
        for (case, patient), label, row in zip(cases, labels, probabilities, strict=True):
            writer.writerow([case, patient, classes[label], *(repr(float(p)) for p in row)])
    partial.replace(path)


def read_predictions(
    path: Path, classes: Sequence[str]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Probabilities `(N, classes)` and true class indices `(N,)`, in the file's order."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    probabilities = np.array([[float(row[f"p:{name}"]) for name in classes] for row in rows])
    labels = np.array([classes.index(row["label"]) for row in rows], np.int64)
    return probabilities, labels


# FOLDED from ucadi_flwr.comparison.files
MAX_BYTES = 256 * 2**20
"""A larger file (bytes) is refused unread."""

_TOLERANCE = 1e-6  # of the sum of a case's probabilities
_MAX_SHOWN = 40  # characters of a value in a message


@dataclass(frozen=True)
class PredictionFile:
    """Cases and patients by name, class indices `(N,)`, probabilities `(N, classes)`."""

    cases: list[str]
    patients: list[str]
    labels: NDArray[np.int64]
    probabilities: NDArray[np.float64]


def read_file(path: Path, classes: Sequence[str]) -> PredictionFile:
    """Read and check; raise :class:`DataError` naming the file and the first problem."""
    columns = ["case", "patient", "label", *(f"p:{name}" for name in classes)]
    cases: list[str] = []
    patients: list[str] = []
    labels: list[int] = []
    probabilities: list[list[float]] = []
    seen: set[str] = set()
    for line, row in _rows(path, columns):
        case, patient, label = row[:3]
        if case in seen:
            raise DataError(f"{path}: line {line}: case {_quote(case)} is here twice")
        if label not in classes:
            known = ", ".join(classes)
            raise DataError(f"{path}: line {line}: class {_quote(label)}; the task has {known}")
        seen.add(case)
        cases.append(case)
        patients.append(patient)
        labels.append(classes.index(label))
        probabilities.append(_probabilities(row[3:], f"{path}: line {line}"))
    if not cases:
        raise DataError(f"{path}: has no cases; run the experiment again")
    return PredictionFile(cases, patients, np.array(labels, np.int64), np.array(probabilities))


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


def _rows(path: Path, columns: Sequence[str]) -> Iterator[tuple[int, list[str]]]:
    """Rows with their line numbers."""
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        header = next(reader, [])
        if header != columns:
            raise DataError(f"{path}: line 1: columns must be {','.join(columns)}")
        for row in reader:
            if len(row) != len(columns):
                raise DataError(
                    f"{path}: line {reader.line_num}: {len(row)} values, not {len(columns)}"
                )
            yield reader.line_num, row
    except csv.Error as error:
        raise DataError(f"{path}: line {reader.line_num}: no CSV: {error}") from None


def _text(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise DataError(f"{path}: larger than {MAX_BYTES} bytes; not a file of predictions")
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise DataError(
            f"{path}: {error.strerror}; predictions of every finished run are needed"
        ) from None
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 at byte {error.start}") from None


def _quote(text: str) -> str:
    return repr(text if len(text) <= _MAX_SHOWN else text[:_MAX_SHOWN] + "…")
