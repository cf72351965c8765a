"""Predictions on file. They name patients' keys: they stay with whoever holds the images."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


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
