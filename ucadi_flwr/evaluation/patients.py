"""From one row for each scan to one row for each patient."""

import numpy as np
from numpy.typing import ArrayLike, NDArray


def per_patient(
    probabilities: ArrayLike, labels: ArrayLike, patients: ArrayLike
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.str_]]:
    """Average the probabilities of each patient's scans, in the order of first appearance.

    Scans of one patient can have different labels, before and after the disease, for example. No
    rule can make one label of them without inventing a diagnosis, so this patient gets one row for
    each label, and the rows remain one cluster by the array of patients.

    Args:
        probabilities: of each scan, `(N, classes)`.
        labels: class index of each scan, `(N,)`.
        patients: patient of each scan, `(N,)`.

    Returns:
        the same three arrays with one row for each patient and label.

    >>> means, labels, patients = per_patient([[0.5, 0.5], [0, 1]], [1, 1], ["a", "a"])
    >>> means.tolist(), labels.tolist(), patients.tolist()
    ([[0.25, 0.75]], [1], ['a'])
    """
    values = np.asarray(probabilities, np.float64)
    classes, names = np.asarray(labels), np.asarray(patients, np.str_)
    if values.ndim != 2 or classes.shape != names.shape or classes.shape != values.shape[:1]:
        raise ValueError(
            "one row for each scan is needed: probabilities (N, classes), labels (N,), patients "
            f"(N,), not {values.shape}, {classes.shape}, {names.shape}"
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
