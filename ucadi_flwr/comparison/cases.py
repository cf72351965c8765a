"""Test cases, and the predictions of several seeds of one strategy for them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.evaluation.patients import per_patient


@dataclass(frozen=True)
class Cases:
    """Test cases in a fixed order.

    Attributes:
        names: of the N cases.
        patients: the patient of each case, as an index from 0, `(N,)`.
        labels: class indices `(N,)`.
    """

    names: tuple[str, ...]
    patients: NDArray[np.intp]
    labels: NDArray[np.int64]

    @classmethod
    def pooled(cls, sites: Sequence[Self]) -> Self:
        """The cases of all sites together; patients of two sites are two patients."""
        patients: list[NDArray[np.intp]] = []
        offset = 0
        for site in sites:
            patients.append(site.patients + offset)
            offset += int(site.patients.max()) + 1
        return cls(
            names=tuple(name for site in sites for name in site.names),
            patients=np.concatenate(patients),
            labels=np.concatenate([site.labels for site in sites]),
        )

    @property
    def repeated(self) -> bool:
        """Whether any patient has several cases."""
        return int(self.patients.max()) + 1 < len(self.names)


@dataclass(frozen=True)
class Predictions:
    """The predictions of one strategy on one test set; each row is a case, or a patient.

    Attributes:
        seeds: the seeds.
        labels: class indices `(N,)`.
        patients: the patient of each row, as an index from 0, `(N,)`.
        probabilities: `(seeds, N, classes)`, in the order of ``seeds``.
    """

    seeds: tuple[int, ...]
    labels: NDArray[np.int64]
    patients: NDArray[np.intp]
    probabilities: NDArray[np.float64]

    @property
    def patient_count(self) -> int:
        """The number of patients."""
        return int(self.patients.max()) + 1

    @cached_property
    def decisions(self) -> NDArray[np.intp]:
        """The class of the highest probability, `(seeds, N)`."""
        return np.asarray(self.probabilities.argmax(axis=2), np.intp)

    def at(self, seeds: Sequence[int]) -> Self:
        """The predictions of some of the seeds, in the given order."""
        indices = [self.seeds.index(seed) for seed in seeds]
        return replace(self, seeds=tuple(seeds), probabilities=self.probabilities[indices])

    def per_patient(self) -> Self:
        """One row for each patient (:mod:`ucadi_flwr.evaluation.patients`)."""
        of_seeds = [per_patient(scans, self.labels, self.patients) for scans in self.probabilities]
        _, labels, patients = of_seeds[0]
        return replace(
            self,
            labels=labels,
            patients=patients.astype(np.intp),
            probabilities=np.stack([means for means, _, _ in of_seeds]),
        )
