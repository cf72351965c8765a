"""From one row a scan to one row a patient."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def per_patient(
    probabilities: ArrayLike, labels: ArrayLike, patients: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.str_]]:
    """Average the probabilities of one patient's scans, in the order of first appearance.

    Takes and gives `(N, classes)`, class indices `(N,)` and patients `(N,)`. A row is a patient *at
    one label*: scans of one patient with different labels (before and after the disease, say) are
    different conditions, and no rule makes one label of them without inventing a diagnosis. Such a
    patient has a row for each label, and stays one cluster by the third array.
    """
    values = np.asarray(probabilities, np.float64)
    classes, names = np.asarray(labels), np.asarray(patients, np.str_)
    if values.ndim != 2 or classes.shape != names.shape or classes.shape != values.shape[:1]:
        raise ValueError(
            "one row a scan is needed: probabilities (N, classes), labels (N,), patients (N,), "
            f"not {values.shape}, {classes.shape}, {names.shape}"
        )
    rows: dict[tuple[str, int], int] = {}
    row = np.array(
        [
            rows.setdefault(key, len(rows))
            for key in zip(names.tolist(), classes.tolist(), strict=True)
        ],
        np.intp,
    )
    sums = np.zeros((len(rows), values.shape[1]))
    np.add.at(sums, row, values)
    means = sums / np.bincount(row, minlength=len(rows))[:, np.newaxis]
    return (
        means,
        np.array([label for _, label in rows], np.int64),
        np.array([patient for patient, _ in rows], np.str_),
    )
