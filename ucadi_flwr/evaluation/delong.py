"""The AUC and what its variance is made of: each patient's share, in exact integers.

ψ(x, y) is 1 if the positive's score x is above the negative's y, ½ if they are equal, else 0.
AUC is the mean of ψ over all M positives × N negatives. The structural components (DeLong, DeLong
& Clarke-Pearson, Biometrics 44:837, 1988): V10 of a positive is its mean ψ over the negatives, V01
of a negative its mean over the positives; both come from midranks, N V10 = rank among all − rank
among the positives (Sun & Xu, IEEE Signal Processing Letters 21:1389, 2014). Scans of one patient
are summed before they are squared (Obuchowski, Biometrics 53:567, 1997), so that a patient with
ten scans does not count ten times.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from ucadi_flwr.evaluation.inputs import as_clusters, as_scores, as_truth


@dataclass(frozen=True)
class Shares:
    """Each patient's deviation from the AUC, over the positive and over the negative scans.

    ``positive``: `(patients,)`, 2MN (ΣV10 − m AUC) of a patient's m positive scans; ``negative``:
    2MN (ΣV01 − n AUC) of the n negative ones; ``won``: 2MN AUC. All are integers, and of several
    models their sum: what is equal is exactly equal, two models with the same ranking differ by
    exactly 0, and the mean of equal models is exactly one of them. ``ranks``: `(models, N)`, each
    model's midranks of the cases; of a difference, the difference of the ranks, which is 0
    everywhere if both rank all cases alike.
    """

    won: int
    positive: NDArray[np.int64]
    negative: NDArray[np.int64]
    positives: int
    negatives: int
    positive_patients: int
    negative_patients: int
    ranks: NDArray[np.float64]

    @property
    def models(self) -> int:
        """How many models this is the mean of."""
        return len(self.ranks)

    @classmethod
    def mean(cls, found: Sequence[Self]) -> Self:
        """The mean of several models on the same cases, such as one recipe's seeds.

        The mean of AUCs is a mean of ψ like each of them, so a patient's share of it is the mean of
        the patient's shares, and its variance holds the models' covariances.
        """
        _same_cases(found)
        return replace(
            found[0],
            won=sum(one.won for one in found),
            positive=np.sum([one.positive for one in found], axis=0),
            negative=np.sum([one.negative for one in found], axis=0),
            ranks=np.concatenate([one.ranks for one in found]),
        )

    def __sub__(self, other: Self) -> Self:
        """The difference of two models, or of two means of as many, on the same cases."""
        _same_cases([self, other])
        if self.models != other.models:
            raise ValueError(f"a mean of {self.models} models less one of {other.models}")
        return replace(
            self,
            won=self.won - other.won,
            positive=self.positive - other.positive,
            negative=self.negative - other.negative,
            ranks=self.ranks - other.ranks,
        )

    @property
    def auc(self) -> float:
        """The AUC, or the difference of AUCs."""
        return self.won / (2 * self.models * self.positives * self.negatives)

    def variance(self) -> float | None:
        """S10/M + S01/N + 2 S11/(MN), of the AUC or of a difference (Obuchowski 1997).

        With one scan a patient it is DeLong's S10/M + S01/N: no patient has both classes. Never
        below 0. None with fewer than two positive or two negative patients.
        """
        if min(self.positive_patients, self.negative_patients) < 2:
            return None
        m, n = self.positives, self.negatives
        scale = 2 * self.models * m * n
        x, y = self.positive / scale, self.negative / scale
        s10 = _unbiased(self.positive_patients) * (x @ x) / m
        s01 = _unbiased(self.negative_patients) * (y @ y) / n
        s11 = _unbiased(len(x)) * (x @ y)
        return float(s10 / m + s01 / n + 2 * s11 / (m * n))


def shares(truth: ArrayLike, scores: ArrayLike, clusters: ArrayLike | None = None) -> Shares | None:
    """AUC and shares from the truth, the scores and the patients `(N,)`; None with one class."""
    positive = as_truth(truth)
    values = as_scores(scores, len(positive))
    patient = as_clusters(clusters, len(positive))
    m, n = int(positive.sum()), int((~positive).sum())
    if m == 0 or n == 0:
        return None
    ranks = rankdata(values)
    beaten = 2 * (ranks[positive] - rankdata(values[positive]))  # 2N V10
    beaten_by = 2 * (m - ranks[~positive] + rankdata(values[~positive]))  # 2M V01
    x, y = np.rint(beaten).astype(np.int64), np.rint(beaten_by).astype(np.int64)
    total = int(x.sum())  # 2MN AUC, and also the sum of y
    shape = int(patient.max()) + 1
    by_positive, by_negative = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    np.add.at(by_positive, patient[positive], m * x - total)
    np.add.at(by_negative, patient[~positive], n * y - total)
    return Shares(
        won=total,
        positive=by_positive,
        negative=by_negative,
        positives=m,
        negatives=n,
        positive_patients=len(np.unique(patient[positive])),
        negative_patients=len(np.unique(patient[~positive])),
        ranks=ranks[np.newaxis],
    )


def _same_cases(found: Sequence[Shares]) -> None:
    """Only by the counts: who brings other cases of the same numbers is not noticed."""
    sizes = {(len(one.positive), one.positives, one.negatives) for one in found}
    if len(sizes) != 1:
        raise ValueError(f"models on the same cases are needed, not {sorted(sizes)}")


def _unbiased(patients: int) -> float:
    return patients / (patients - 1)
