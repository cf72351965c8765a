"""A reader study: readers, their majority, and the model, on the same cases at one decision."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ucadi_flwr.evaluation.cases import as_truth
from ucadi_flwr.evaluation.intervals import Proportion, proportion
from ucadi_flwr.evaluation.paired import Comparison, mcnemar


@dataclass(frozen=True)
class ReaderFigures:
    """One reader: sensitivity and specificity with Wilson intervals, None where undefined.

    ``roc_point``: (FPR, sensitivity), None where either is undefined. The intervals take cases as
    independent.
    """

    sensitivity: Proportion | None
    specificity: Proportion | None
    roc_point: tuple[float, float] | None


@dataclass(frozen=True)
class Against:
    """The model less a reader, by McNemar's test: of all, of positive and of negative cases.

    None where there are no such cases. The p-values are as tested: for several readers, adjust
    them (:func:`ucadi_flwr.evaluation.paired.holm`).
    """

    accuracy: Comparison | None
    sensitivity: Comparison | None
    specificity: Comparison | None


@dataclass(frozen=True)
class ReaderStudy:
    """Readers and model on the same cases.

    Means are over readers, each counting once. ``majority`` and ``model_against_majority`` are over
    the cases that are not in ``for_discussion``: on those the readers are tied, and nobody decides.
    """

    readers: dict[str, ReaderFigures]
    mean_sensitivity: float | None
    mean_specificity: float | None
    majority: ReaderFigures
    for_discussion: list[str]
    model: ReaderFigures
    model_against: dict[str, Against]
    model_against_majority: Against


def reader_study(
    truth: ArrayLike,
    model: ArrayLike,
    readers: Mapping[str, ArrayLike],
    cases: Sequence[str],
    patients: ArrayLike | None = None,
) -> ReaderStudy:
    """Compare the model's decisions with each reader's calls and with the readers' majority.

    ``truth``, ``model`` (whether argmax is the positive class) and each reader's calls
    (:func:`ucadi_flwr.evaluation.readers.read_readers`): `(N,)`, in the order of ``cases``.
    ``patients`` `(N,)`: where one has several cases, the tests are clustered.
    """
    positive = as_truth(truth)
    calls = {reader: as_truth(called) for reader, called in readers.items()}
    decided = as_truth(model)
    lengths = {len(positive), len(decided), len(cases), *map(len, calls.values())}
    if len(lengths) > 1:
        raise ValueError(f"everyone decides the same cases, not {sorted(lengths)} of them")
    if not calls:
        raise ValueError("no readers")
    cluster = np.arange(len(positive)) if patients is None else np.asarray(patients)
    vote = majority(list(calls.values()))
    clear = np.array([v is not None for v in vote])
    agreed = np.array([bool(v) for v in vote])
    figures = {reader: _figures(positive, called) for reader, called in calls.items()}
    return ReaderStudy(
        readers=figures,
        mean_sensitivity=_mean([f.sensitivity for f in figures.values()]),
        mean_specificity=_mean([f.specificity for f in figures.values()]),
        majority=_figures(positive[clear], agreed[clear]),
        for_discussion=[case for case, v in zip(cases, vote, strict=True) if v is None],
        model=_figures(positive, decided),
        model_against={
            reader: _against(positive, decided, called, cluster) for reader, called in calls.items()
        },
        model_against_majority=_against(
            positive[clear], decided[clear], agreed[clear], cluster[clear]
        ),
    )


def majority(calls: Sequence[NDArray[np.bool_]]) -> list[bool | None]:
    """What more than half of the readers call, for each case of `(N,)` calls; None for a tie."""
    votes = np.array(calls).sum(axis=0).tolist()
    return [None if 2 * v == len(calls) else 2 * v > len(calls) for v in votes]


def _figures(positive: NDArray[np.bool_], called: NDArray[np.bool_]) -> ReaderFigures:
    sensitivity = proportion(int((called & positive).sum()), int(positive.sum()))
    specificity = proportion(int((~called & ~positive).sum()), int((~positive).sum()))
    if sensitivity is None or specificity is None:
        return ReaderFigures(sensitivity, specificity, None)
    return ReaderFigures(sensitivity, specificity, (1 - specificity.value, sensitivity.value))


def _against(
    positive: NDArray[np.bool_],
    model: NDArray[np.bool_],
    reader: NDArray[np.bool_],
    patients: NDArray[np.generic],
) -> Against:
    right_model, right_reader = model == positive, reader == positive

    def among(these: NDArray[np.bool_]) -> Comparison | None:
        if not these.any():
            return None
        return mcnemar(right_model[these], right_reader[these], patients[these])

    return Against(among(np.ones_like(positive)), among(positive), among(~positive))


def _mean(found: Sequence[Proportion | None]) -> float | None:
    values = [p.value for p in found if p is not None]
    return float(np.mean(values)) if values else None
