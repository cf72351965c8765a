"""The AUC and the structural components of its variance, for each patient, in exact integers.

ψ(x, y) is 1 if the positive case's score x is higher than the negative case's y, ½ if they are
equal, else 0. The AUC is the mean of ψ over all pairs of M positive and N negative cases. The
structural components (DeLong, DeLong & Clarke-Pearson, Biometrics 44:837, 1988) are V10 of a
positive case, its mean ψ over the negative cases, and V01 of a negative case, its mean ψ over the
positive cases. Both are computed from midranks: N V10 = rank among all cases − rank among the
positive cases (Sun & Xu, IEEE Signal Processing Letters 21:1389, 2014). The components of one
patient's scans are summed before they are squared (Obuchowski, Biometrics 53:567, 1997), so that a
patient with ten scans does not count ten times.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from ucadi_flwr.evaluation.inputs import as_clusters, as_scores, as_truth


@dataclass(frozen=True)
class AucComponents:
    """The AUC of a model and its components by patient; also for a mean or a difference of models.

    All numbers are integers, so equal models are exactly equal: two models with the same ranking
    differ by exactly 0, and the mean of equal models is exactly one of them. For a mean of several
    models, the integers are sums over the models.

    Attributes:
        doubled_u: 2MN AUC, twice the statistic U of Mann & Whitney.
        positive: `(patients,)`, 2MN (ΣV10 − m AUC) over the patient's m positive scans.
        negative: `(patients,)`, 2MN (ΣV01 − n AUC) over the patient's n negative scans.
        positives: number of positive scans, M.
        negatives: number of negative scans, N.
        positive_patients: number of patients with a positive scan.
        negative_patients: number of patients with a negative scan.
        ranks: `(models, M + N)`, each model's midranks of the scans; for a difference, the
            difference of the ranks, which is 0 everywhere if both rank all scans in the same way.
    """

    doubled_u: int
    positive: NDArray[np.int64]
    negative: NDArray[np.int64]
    positives: int
    negatives: int
    positive_patients: int
    negative_patients: int
    ranks: NDArray[np.float64]

    @property
    def models(self) -> int:
        """The number of models that this is the mean of."""
        return len(self.ranks)

    @classmethod
    def mean(cls, models: Sequence[Self]) -> Self:
        """The mean of several models on the same cases, for example the seeds of one strategy.

        A mean of AUCs is a mean of ψ, like each AUC. So a patient's components are the means of the
        patient's components, and the variance includes the covariances of the models.
        """
        _check_same_cases(models)
        return replace(
            models[0],
            doubled_u=sum(model.doubled_u for model in models),
            positive=np.sum([model.positive for model in models], axis=0),
            negative=np.sum([model.negative for model in models], axis=0),
            ranks=np.concatenate([model.ranks for model in models]),
        )

    def __sub__(self, other: Self) -> Self:
        """The difference of two models, or of two means of equally many, on the same cases."""
        _check_same_cases([self, other])
        if self.models != other.models:
            raise ValueError(
                f"a mean of {self.models} models cannot be compared with one of {other.models}"
            )
        return replace(
            self,
            doubled_u=self.doubled_u - other.doubled_u,
            positive=self.positive - other.positive,
            negative=self.negative - other.negative,
            ranks=self.ranks - other.ranks,
        )

    @property
    def auc(self) -> float:
        """The AUC, or the difference of AUCs."""
        return self.doubled_u / (2 * self.models * self.positives * self.negatives)

    def variance(self) -> float | None:
        """The variance of the AUC or the difference, S10/M + S01/N + 2 S11/(MN) (Obuchowski 1997).

        With one scan per patient, no patient has both classes, and it is DeLong's S10/M + S01/N.
        Never below 0. None with fewer than two positive or two negative patients.
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


def auc_components(
    truth: ArrayLike, scores: ArrayLike, clusters: ArrayLike | None = None
) -> AucComponents | None:
    """The AUC of one model and its components; None if all scans are of one class.

    Args:
        truth: whether each scan is positive, `(N,)`, booleans or 0 and 1.
        scores: finite scores `(N,)`, higher for positive scans.
        clusters: the patient of each scan, `(N,)`; without it, each scan is of another patient.

    Raises:
        ValueError: the arrays do not have these shapes or values.

    >>> components = auc_components([1, 1, 0, 0], [0.9, 0.4, 0.5, 0.1])
    >>> components.auc, components.variance()
    (0.75, 0.125)
    """
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
    return AucComponents(
        doubled_u=total,
        positive=by_positive,
        negative=by_negative,
        positives=m,
        negatives=n,
        positive_patients=len(np.unique(patient[positive])),
        negative_patients=len(np.unique(patient[~positive])),
        ranks=ranks[np.newaxis],
    )


def _check_same_cases(models: Sequence[AucComponents]) -> None:
    """Check the numbers only: other cases of the same numbers are not noticed."""
    sizes = {(len(model.positive), model.positives, model.negatives) for model in models}
    if len(sizes) != 1:
        raise ValueError(
            "the models must be tested on the same cases; their numbers of patients, positives and "
            f"negatives are {sorted(sizes)}"
        )


def _unbiased(patients: int) -> float:
    return patients / (patients - 1)
