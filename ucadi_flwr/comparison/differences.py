"""Every strategy against the reference, on the same cases, corrected for how many there are."""

import itertools
from collections.abc import Sequence
from typing import Literal

from ucadi_flwr.comparison.accuracy import accuracy_difference
from ucadi_flwr.comparison.arms import Arm
from ucadi_flwr.comparison.auc import auc_difference
from ucadi_flwr.errors import DataError
from ucadi_flwr.evaluation.paired import holm
from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.results.analysis import Difference, Estimate

USUAL = "fedavg"
"""The reference if no other is named."""

Measure = Literal["auc", "accuracy"]
MEASURES: tuple[Measure, ...] = ("auc", "accuracy")


def choose_reference(found: Sequence[Arm], wanted: str | None) -> str:
    """The one that is wanted, or fedavg, or the first strategy with one model of all, or any."""
    strategies = list(dict.fromkeys(arm.strategy for arm in found))
    if wanted is not None:
        if wanted not in strategies:
            known = ", ".join(strategies)
            raise DataError(
                f"no finished run of strategy {wanted} to compare with; there is {known}"
            )
        return wanted
    of_all = [arm.strategy for arm in found if arm.trained_at == ALL_SITES]
    return USUAL if USUAL in strategies else [*of_all, *strategies][0]


def differences(found: Sequence[Arm], reference: str, positive: int) -> list[Difference]:
    """By measure, unit, strategy and test set; Holm's correction over all of a measure and unit.

    Only over seeds that both have; none where they have none in common, or where the measure is not
    defined.
    """
    against = {
        (arm.unit, arm.tested_at): arm for arm in found if arm.strategy == reference and arm.main
    }
    corrected: list[Difference] = []
    units = list(dict.fromkeys(arm.unit for arm in found))
    for measure, unit in itertools.product(MEASURES, units):
        rows = [
            row
            for arm in found
            if arm.main and arm.strategy != reference and arm.unit == unit
            if (other := against.get((arm.unit, arm.tested_at)))
            if (row := _difference(arm, other, measure, positive))
        ]
        p_values = holm([row.p for row in rows])
        corrected += [
            row.model_copy(update={"p_holm": p}) for row, p in zip(rows, p_values, strict=True)
        ]
    return corrected


def common_seeds(a: Arm, b: Arm) -> list[int]:
    """The seeds that both have on this test set."""
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
