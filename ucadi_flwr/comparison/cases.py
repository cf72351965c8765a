"""Test cases, and what several seeds of one recipe predict for them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.evaluation.patients import per_patient


@dataclass(frozen=True)
class Cases:
    """Test cases in a fixed order: names, each one's patient as an index from 0, class index."""

    names: tuple[str, ...]
    patients: NDArray[np.intp]
    labels: NDArray[np.int64]

    @classmethod
    def pooled(cls, sites: Sequence[Self]) -> Self:
        """All sites' cases together. A patient is one at a site: names are not compared."""
        patients: list[NDArray[np.intp]] = []
        before = 0
        for site in sites:
            patients.append(site.patients + before)
            before += int(site.patients.max()) + 1
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
    """Of one recipe on one test set, one row a case, or a patient at one label.

    ``labels`` `(N,)`, ``patients`` `(N,)` as indices from 0, ``probabilities`` `(seeds, N,
    classes)` in the order of ``seeds``.
    """

    seeds: tuple[int, ...]
    labels: NDArray[np.int64]
    patients: NDArray[np.intp]
    probabilities: NDArray[np.float64]

    @property
    def patient_count(self) -> int:
        """How many patients."""
        return int(self.patients.max()) + 1

    @cached_property
    def decisions(self) -> NDArray[np.intp]:
        """The class of the highest probability, `(seeds, N)`."""
        return np.asarray(self.probabilities.argmax(axis=2), np.intp)

    def at(self, seeds: Sequence[int]) -> Self:
        """Those seeds only, in that order."""
        places = [self.seeds.index(seed) for seed in seeds]
        return replace(self, seeds=tuple(seeds), probabilities=self.probabilities[places])

    def per_patient(self) -> Self:
        """Each patient's probabilities averaged (:mod:`ucadi_flwr.evaluation.patients`)."""
        found = [per_patient(one, self.labels, self.patients) for one in self.probabilities]
        _, labels, patients = found[0]
        return replace(
            self,
            labels=labels,
            patients=patients.astype(np.intp),
            probabilities=np.stack([one for one, _, _ in found]),
        )
