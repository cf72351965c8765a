"""Human readers compared with the strategies' models, on the test cases of all sites together."""

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
from ucadi_flwr.results.analysis import Estimate, ReaderMeasures, ReaderStudy
from ucadi_flwr.results.readers import read_readers

MEAN = "mean of readers"
MAJORITY = "majority of readers"


def compare_with_readers(
    path: Path, experiment: Experiment, every_arm: Sequence[Arm], reference: str
) -> list[ReaderStudy]:
    """Compare the readers with the reference, then with every other model of all sites.

    Each model is that of the strategy's first seed. A reader's call names only a case, so no two
    sites may have a case of the same name.

    Args:
        path: a readers.csv (:mod:`ucadi_flwr.results.readers`).
        experiment: the test cases of all sites.
        every_arm: the arms of the experiment.
        reference: the strategy that comes first; it may have one model for each site.

    Raises:
        DataError: the file is missing or broken, or its cases are not the test cases.
    """
    names = _names(path, experiment)
    calls = read_readers(path, names, experiment.classes, experiment.positive)
    compared = [
        arm
        for arm in every_arm
        if arm.unit == "scan" and arm.tested_at == ALL_SITES
        if arm.trained_at == ALL_SITES or (arm.main and arm.strategy == reference)
    ]
    compared.sort(key=lambda arm: arm.strategy != reference)
    return [_compare(arm, calls, names, experiment.positive) for arm in compared]


def _names(path: Path, experiment: Experiment) -> list[str]:
    site_of: dict[str, str] = {}
    for site, cases in experiment.sites.items():
        for name in cases.names:
            if name in site_of:
                raise DataError(
                    f"{path}: case {name!r} is at {site_of[name]} and at {site}, so a call does "
                    "not say which of them it is for; give every case its own name"
                )
            site_of[name] = site
    return list(site_of)


def majority(calls: NDArray[np.bool_]) -> list[bool | None]:
    """The call of more than half of the readers for each case; None for a tie.

    Args:
        calls: whether each reader calls each case positive, `(readers, N)`.

    >>> majority(np.array([[True, True, False], [True, False, False]]))
    [True, None, False]
    """
    votes = calls.sum(axis=0).tolist()
    return [None if 2 * v == len(calls) else 2 * v > len(calls) for v in votes]


def _compare(
    arm: Arm, calls: dict[str, NDArray[np.bool_]], names: Sequence[str], positive: int
) -> ReaderStudy:
    truth, patients = arm.predictions.labels == positive, arm.predictions.patients
    model = arm.predictions.decisions[0] == positive
    rows = [_row(name, truth, call[np.newaxis], patients, model) for name, call in calls.items()]
    if len(calls) > 1:
        rows += _together(names, truth, np.array(list(calls.values())), patients, model)
    p_values = holm([row.p for row in rows])
    sensitivity, specificity = _both(truth, model[np.newaxis], patients)
    return ReaderStudy(
        strategy=arm.strategy,
        seed=arm.predictions.seeds[0],
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
) -> list[ReaderMeasures]:
    """The mean, where each reader has the same weight, and the majority on cases without a tie."""
    votes = majority(calls)
    clear = np.array([vote is not None for vote in votes])
    agreed = np.array([[bool(vote) for vote in votes]])
    decided = _row(MAJORITY, truth[clear], agreed[:, clear], patients[clear], model[clear])
    ties = [name for name, vote in zip(names, votes, strict=True) if vote is None]
    return [_row(MEAN, truth, calls, patients), decided.model_copy(update={"ties": ties})]


def _row(
    name: str,
    truth: NDArray[np.bool_],
    calls: NDArray[np.bool_],
    patients: NDArray[np.intp],
    model: NDArray[np.bool_] | None = None,
) -> ReaderMeasures:
    """Sensitivity and specificity of calls `(readers, N)`, with intervals for these readers.

    ``model`` `(N,)`: decisions of a model, with which those of a single reader are compared.
    """
    sensitivity, specificity = _both(truth, calls, patients)
    return ReaderMeasures(
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
    """The p-value of the test for two models' accuracies; None without a case."""
    if not len(truth):
        return None
    index = np.unique(patients, return_inverse=True)[1]

    def certain_of(decisions: NDArray[np.bool_]) -> Predictions:
        certain = np.stack([~decisions, decisions], axis=1).astype(np.float64)
        return Predictions((0,), truth.astype(np.int64), index, certain[np.newaxis])

    return accuracy_difference(certain_of(model), certain_of(call))[1]


def _both(
    truth: NDArray[np.bool_], calls: NDArray[np.bool_], patients: NDArray[np.intp]
) -> tuple[Estimate, Estimate]:
    """Sensitivity and specificity; without SD, which would be over readers and not over seeds."""
    positives = np.broadcast_to(truth, calls.shape)
    sensitivity, specificity = (
        rate_or_undefined(proportion).model_copy(update={"sd": None})
        for proportion in (rate(calls, positives, patients), rate(~calls, ~positives, patients))
    )
    return sensitivity, specificity
