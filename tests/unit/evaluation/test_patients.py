"""Averages of the scans of each patient."""

import numpy as np
import pytest
from numpy.typing import ArrayLike

from ucadi_flwr.evaluation.patients import per_patient


def test_scans_are_averaged_in_the_order_of_first_appearance() -> None:
    scans = [[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.4, 0.6]]
    means, labels, patients = per_patient(scans, [0, 1, 0, 1], ["z", "a", "z", "b"])
    assert means == pytest.approx(np.array([[0.8, 0.2], [0.2, 0.8], [0.4, 0.6]]))
    assert labels.tolist() == [0, 1, 1]
    assert patients.tolist() == ["z", "a", "b"]
    assert (means.dtype, labels.dtype) == (np.dtype(np.float64), np.dtype(np.int64))


def test_a_patient_with_two_labels_has_two_rows() -> None:
    scans = [[0.9, 0.1], [0.2, 0.8], [0.4, 0.6]]
    means, labels, patients = per_patient(scans, [0, 1, 1], ["p", "p", "p"])
    assert means == pytest.approx(np.array([[0.9, 0.1], [0.3, 0.7]]))
    assert labels.tolist() == [0, 1]
    assert patients.tolist() == ["p", "p"]


def test_one_scan_per_patient_changes_nothing() -> None:
    scans = np.random.default_rng(0).random((50, 3))
    means, labels, patients = per_patient(scans, np.arange(50) % 3, np.arange(50))
    assert means.tobytes() == scans.tobytes()
    assert labels.tolist() == (np.arange(50) % 3).tolist()
    assert patients.tolist() == [str(i) for i in range(50)]
    assert [len(a) for a in per_patient(np.zeros((0, 2)), [], [])] == [0, 0, 0]


@pytest.mark.parametrize(
    ("scans", "labels", "patients"),
    [
        ([0.1, 0.2], [0, 1], ["a", "b"]),
        ([[0.1, 0.9]], [0, 1], ["a", "b"]),
        ([[0.1, 0.9]], [0], ["a", "b"]),
        ([[0.1, 0.9]], [[0]], [["a"]]),
    ],
)
def test_arrays_without_one_row_for_each_scan_are_refused(
    scans: ArrayLike, labels: ArrayLike, patients: ArrayLike
) -> None:
    with pytest.raises(ValueError, match="one row for each scan"):
        per_patient(scans, labels, patients)
