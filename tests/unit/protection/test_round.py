"""Whole rounds: what is sealed by the sites, summed by the server and opened again."""

import numpy as np
import pytest
from helpers.protected_round import (
    ALL_SCHEMES,
    CONTEXT,
    ENCRYPTED,
    NAMES,
    close,
    federation,
    random_state,
)

from ucadi_flwr.aggregation.mean import WeightedMean
from ucadi_flwr.protection import frame
from ucadi_flwr.protection.encoding.ranges import OutOfRange
from ucadi_flwr.protection.frame import MessageContext
from ucadi_flwr.protection.plan import IntegerPlan
from ucadi_flwr.protection.protect import make_sum


@ALL_SCHEMES
def test_a_round(scheme: str) -> None:
    fed = federation(scheme)
    weights = [40, 10, 50]
    blobs = [fed.seal(n, random_state(i), weights[i], 100) for i, n in enumerate(NAMES)]
    opened = fed.site("late-comer").open(fed.plan, CONTEXT, fed.add_up(blobs))
    mean = WeightedMean()
    for i, weight in enumerate(weights):
        mean.add(random_state(i), weight)
    assert opened.members == tuple(NAMES)
    assert opened.share == pytest.approx(1.0, abs=1e-7)
    assert list(opened.state) == list(fed.layout.shapes)
    assert close(opened.state, mean.mean(), {"none": 0.0, "bfv": 8e-5, "ckks": 1e-6}[scheme])


@ALL_SCHEMES
def test_a_site_that_drops_out_renormalises_the_mean(scheme: str) -> None:
    fed = federation(scheme)
    blobs = [fed.seal(n, random_state(i), 10 + i, 1000) for i, n in enumerate(NAMES)]
    opened = fed.site("a").open(fed.plan, CONTEXT, fed.add_up(blobs))
    mean = WeightedMean()
    for i in range(3):
        mean.add(random_state(i), 10 + i)
    assert opened.share == pytest.approx(0.033, abs=1e-7)
    assert close(opened.state, mean.mean(), 3e-3)  # 33 of 1000 answered: 30 times coarser


@ALL_SCHEMES
def test_integers_add_up_exactly(scheme: str) -> None:
    fed = federation(scheme)
    plan, context = IntegerPlan(scheme, 3, 4), MessageContext("run-a", 1, "metrics")
    bound = plan.codec.bound
    vectors = [np.array([i, -bound, bound - i]) for i in range(4)]
    total = make_sum(fed.context, plan, context, 3, WeightedMean)
    for i, vector in enumerate(vectors):
        total.add(fed.site(f"s{i}").seal_integers(plan, context, vector))
    opened = fed.site("s9").open_integers(plan, context, total.result())
    assert opened.values.dtype == np.int64
    assert opened.values.tolist() == [6, -4 * bound, 4 * bound - 6]
    assert opened.members == total.members == ("s0", "s1", "s2", "s3")


@ENCRYPTED
def test_every_seal_has_fresh_randomness(scheme: str) -> None:
    fed = federation(scheme)
    first, second = (fed.seal("a", random_state(0)) for _ in range(2))
    head = 106 + frame.MEMBER_BYTES
    assert first[:head] == second[:head]
    assert not any(first[i : i + 16] in second for i in range(head, 20_000, 16))


def test_a_value_out_of_range_fits_in_a_repeated_round() -> None:
    fed = federation("bfv")
    large = random_state(7)
    large["conv.weight"][3, 4, 5] = 6.0  # the reference is 0.5 everywhere
    with pytest.raises(OutOfRange, match=r"tensor 'conv.weight' needs 8 ×") as refused:
        fed.seal("union", large)
    repeat, wider = MessageContext("run-a", 1, attempt=1), refused.value.multipliers
    total = fed.sum(repeat)
    states = [random_state(0), large, random_state(2)]
    for name, state in zip(NAMES, states, strict=True):
        total.add(fed.site(name).seal(fed.plan, repeat, state, fed.reference, 1, 3, wider))
    opened = fed.site("a").open(fed.plan, repeat, total.result())
    assert opened.state["conv.weight"][3, 4, 5] == pytest.approx(
        np.mean([s["conv.weight"][3, 4, 5] for s in states]), abs=6e-4
    )
