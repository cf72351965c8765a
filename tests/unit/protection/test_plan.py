"""Plans: plans that differ have different digests; sizes follow from them."""

from collections.abc import Callable

import pytest

from ucadi_flwr.errors import ProtectionError
from ucadi_flwr.protection.encoding.layout import Layout
from ucadi_flwr.protection.frame import Kind
from ucadi_flwr.protection.plan import IntegerPlan, ModelPlan, payload_size
from ucadi_flwr.protection.scheme.schemes import scheme

LAYOUT = Layout({"w": (3, 4096), "b": (10,)})


def test_every_difference_changes_the_digest() -> None:
    plans: list[ModelPlan | IntegerPlan] = [
        ModelPlan("bfv", LAYOUT),
        ModelPlan("ckks", LAYOUT),
        ModelPlan("none", LAYOUT),
        ModelPlan("bfv", LAYOUT, 4),
        ModelPlan("bfv", LAYOUT, 3, 127),
        ModelPlan("bfv", Layout({"v": (3, 4096), "b": (10,)})),
        ModelPlan("bfv", Layout({"w": (4096, 3), "b": (10,)})),
        ModelPlan("bfv", Layout({"w": (3, 4096), "b": (10,), "c": ()})),
        IntegerPlan("bfv", 10),
        IntegerPlan("bfv", 11),
        IntegerPlan("bfv", 10, 127),
        IntegerPlan("none", 10),
    ]
    assert len({plan.digest for plan in plans}) == len(plans)
    assert ModelPlan("bfv", Layout(dict(LAYOUT.shapes))).digest == plans[0].digest


def test_sizes() -> None:
    def size(plan: ModelPlan | IntegerPlan) -> tuple[int, int]:
        return payload_size(plan, Kind.CONTRIBUTION), payload_size(plan, Kind.SUM)

    assert size(ModelPlan("bfv", LAYOUT)) == (2 * (7 * 4096 + 64), 2 * 14 * 4096)
    assert size(ModelPlan("bfv", LAYOUT, 4)) == (7 * 4096 + 64, 14 * 4096)
    assert size(ModelPlan("none", LAYOUT)) == (16 + 4 * 12298, 16 + 4 * 12298)
    assert size(IntegerPlan("bfv", 4094)) == (7 * 4096 + 64, 14 * 4096)
    assert size(IntegerPlan("bfv", 4095)) == (2 * (7 * 4096 + 64), 2 * 14 * 4096)
    assert size(IntegerPlan("none", 5)) == (40, 40)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: ModelPlan("lwe", LAYOUT), "no protection 'lwe'; there are none, bfv, ckks"),
        (lambda: ModelPlan("bfv", LAYOUT, 5), "5 values a slot"),
        (lambda: ModelPlan("bfv", LAYOUT, 3, 0), "0 sites"),
        (lambda: IntegerPlan("bfv", 1, 1025), "1025 sites"),
        (lambda: IntegerPlan("bfv", 0), "without integers"),
        (lambda: scheme("none"), "'none' does not encrypt"),
    ],
)
def test_impossible_plans(make: Callable[[], object], message: str) -> None:
    with pytest.raises(ProtectionError, match=message):
        make()
