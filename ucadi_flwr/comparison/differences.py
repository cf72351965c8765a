"""The difference of every strategy from the reference, on the same cases, with corrected p."""

import itertools
from collections.abc import Sequence

from ucadi_flwr.comparison.accuracy import accuracy_difference
from ucadi_flwr.comparison.arms import Arm
from ucadi_flwr.comparison.auc import auc_difference
from ucadi_flwr.errors import DataError
from ucadi_flwr.evaluation.paired import holm
from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.results.analysis import Difference, Estimate, Measure

DEFAULT_REFERENCE = "fedavg"

MEASURES: tuple[Measure, ...] = ("auc", "accuracy")


def choose_reference(every_arm: Sequence[Arm], wanted: str | None) -> str:
    """The strategy that the others are compared with.

    ``wanted`` if it is given, else fedavg, else the first strategy with one model of all sites,
    else the first strategy. Raises :class:`DataError` if ``wanted`` has no finished run.
    """
    strategies = list(dict.fromkeys(arm.strategy for arm in every_arm))
    if wanted is not None:
        if wanted not in strategies:
            raise DataError(
                f"strategy {wanted} has no finished run, so it cannot be the reference; choose one "
                f"of {', '.join(strategies)}"
            )
        return wanted
    of_all = [arm.strategy for arm in every_arm if arm.trained_at == ALL_SITES]
    return DEFAULT_REFERENCE if DEFAULT_REFERENCE in strategies else [*of_all, *strategies][0]


def differences(every_arm: Sequence[Arm], reference: str, positive: int) -> list[Difference]:
    """All differences from the reference, by measure, unit, strategy and test set.

    Each is over the seeds that both strategies have. There is none without a common seed, or if
    the measure is not defined. Holm's correction is over all differences of a measure and unit.

    Args:
        every_arm: the arms of the experiment.
        reference: the strategy that the others are compared with.
        positive: index of the positive class.
    """
    of_reference = {
        (arm.unit, arm.tested_at): arm
        for arm in every_arm
        if arm.strategy == reference and arm.main
    }
    corrected: list[Difference] = []
    units = list(dict.fromkeys(arm.unit for arm in every_arm))
    for measure, unit in itertools.product(MEASURES, units):
        rows = [
            row
            for arm in every_arm
            if arm.main and arm.strategy != reference and arm.unit == unit
            if (other := of_reference.get((arm.unit, arm.tested_at)))
            if (row := _difference(arm, other, measure, positive))
        ]
        p_values = holm([row.p for row in rows])
        corrected += [
            row.model_copy(update={"p_holm": p}) for row, p in zip(rows, p_values, strict=True)
        ]
    return corrected


def common_seeds(a: Arm, b: Arm) -> list[int]:
    """The seeds that both arms have."""
    return [seed for seed in a.predictions.seeds if seed in b.predictions.seeds]


def _difference(a: Arm, b: Arm, measure: Measure, positive: int) -> Difference | None:
    seeds = common_seeds(a, b)
    if not seeds:
        return None
    left, right = a.predictions.at(seeds), b.predictions.at(seeds)
    result: tuple[Estimate, float | None, str] | None
    if measure == "auc":
        result = auc_difference(left, right, positive)
    else:
        result = accuracy_difference(left, right)
    if result is None:
        return None
    estimate, p, method = result
    return Difference(
        a=a.strategy,
        b=b.strategy,
        tested_at=a.tested_at,
        unit=a.unit,
        measure=measure,
        difference=estimate,
        p=p,
        p_holm=None,
        method=method,
    )
