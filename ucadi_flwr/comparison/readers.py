"""Human readers against the strategies' models, on all sites' test cases together."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.comparison.accuracy import accuracy_difference
from ucadi_flwr.comparison.arms import Arm
from ucadi_flwr.comparison.cases import Predictions
from ucadi_flwr.comparison.loading import Experiment
from ucadi_flwr.comparison.rates import rate, rate_or_undefined
from ucadi_flwr.errors import DataError
from ucadi_flwr.evaluation.paired import holm
from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.results.analysis import Estimate, ReaderFigures, Readers
from ucadi_flwr.results.readers import read_readers

MEAN = "mean of readers"
MAJORITY = "majority of readers"


def readers(
    path: Path, experiment: Experiment, found: Sequence[Arm], reference: str
) -> list[Readers]:
    """The reference first, then every other strategy with a model of all; each one's first seed.

    ``path``: see :mod:`ucadi_flwr.results.readers`. A case must have its own name among all
    sites' cases, as a reader's call names nothing else.
    """
    names = _names(path, experiment)
    calls = read_readers(path, names, experiment.classes, experiment.positive)
    wanted = [
        arm
        for arm in found
        if arm.unit == "scan" and arm.tested_at == ALL_SITES
        if arm.trained_at == ALL_SITES or (arm.main and arm.strategy == reference)
    ]
    wanted.sort(key=lambda arm: arm.strategy != reference)
    return [_against(arm, calls, names, experiment.positive) for arm in wanted]


def _names(path: Path, experiment: Experiment) -> list[str]:
    site_of: dict[str, str] = {}
    for site, cases in experiment.sites.items():
        for name in cases.names:
            if name in site_of:
                raise DataError(
                    f"{path}: case {name!r} is at {site_of[name]} and at {site}, so that no call "
                    "can be told apart; give every case its own name"
                )
            site_of[name] = site
    return list(site_of)


def majority(calls: NDArray[np.bool_]) -> list[bool | None]:
    """What more than half of the readers call, of `(readers, N)` calls; None for a tie."""
    votes = calls.sum(axis=0).tolist()
    return [None if 2 * v == len(calls) else 2 * v > len(calls) for v in votes]


def _against(
    arm: Arm, calls: dict[str, NDArray[np.bool_]], names: Sequence[str], positive: int
) -> Readers:
    found = arm.predictions
    truth, called = found.labels == positive, found.decisions[0] == positive
    rows = [
        _row(name, truth, call[np.newaxis], found.patients, called) for name, call in calls.items()
    ]
    if len(calls) > 1:
        rows += _together(names, truth, np.array(list(calls.values())), found.patients, called)
    p_values = holm([row.p for row in rows])
    sensitivity, specificity = _both(truth, called[np.newaxis], found.patients)
    return Readers(
        strategy=arm.strategy,
        seed=found.seeds[0],
        model_sensitivity=sensitivity,
        model_specificity=specificity,
        readers=[
            row.model_copy(update={"p_holm": p}) for row, p in zip(rows, p_values, strict=True)
        ],
    )


def _together(
    names: Sequence[str],
    truth: NDArray[np.bool_],
    calls: NDArray[np.bool_],
    patients: NDArray[np.intp],
    model: NDArray[np.bool_],
) -> list[ReaderFigures]:
    """The mean, each reader counting once, and the majority, on the cases without a tie."""
    vote = majority(calls)
    clear = np.array([one is not None for one in vote])
    agreed = np.array([[bool(one) for one in vote]])
    decided = _row(MAJORITY, truth[clear], agreed[:, clear], patients[clear], model[clear])
    ties = [name for name, one in zip(names, vote, strict=True) if one is None]
    return [_row(MEAN, truth, calls, patients), decided.model_copy(update={"ties": ties})]


def _row(
    name: str,
    truth: NDArray[np.bool_],
    calls: NDArray[np.bool_],
    patients: NDArray[np.intp],
    model: NDArray[np.bool_] | None = None,
) -> ReaderFigures:
    """Figures of `(readers, N)` calls, with intervals over cases for these readers.

    ``model`` `(N,)`: the decisions that those of the one reader are tested against.
    """
    sensitivity, specificity = _both(truth, calls, patients)
    return ReaderFigures(
        reader=name,
        cases=len(truth),
        sensitivity=sensitivity,
        specificity=specificity,
        p=None if model is None else _p(truth, calls[0], patients, model),
    )


def _p(
    truth: NDArray[np.bool_],
    call: NDArray[np.bool_],
    patients: NDArray[np.intp],
    model: NDArray[np.bool_],
) -> float | None:
    """Of the test that two models' accuracies have; None without a case."""
    if not len(truth):
        return None
    index = np.unique(patients, return_inverse=True)[1]

    def decided(one: NDArray[np.bool_]) -> Predictions:
        certain = np.stack([~one, one], axis=1).astype(np.float64)
        return Predictions((0,), truth.astype(np.int64), index, certain[np.newaxis])

    return accuracy_difference(decided(model), decided(call))[1]


def _both(
    truth: NDArray[np.bool_], calls: NDArray[np.bool_], patients: NDArray[np.intp]
) -> tuple[Estimate, Estimate]:
    """Sensitivity and specificity; the SD of an :class:`Estimate` is of seeds, not of readers."""
    positives = np.broadcast_to(truth, calls.shape)
    found = (rate(calls, positives, patients), rate(~calls, ~positives, patients))
    sensitivity, specificity = (
        rate_or_undefined(one).model_copy(update={"sd": None}) for one in found
    )
    return sensitivity, specificity
