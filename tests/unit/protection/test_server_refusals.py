"""What the server refuses to add, by the frames alone."""

import numpy as np
import pytest
from helpers.protected_round import ALL_SCHEMES, CONTEXT, federation, random_state

from ucadi_flwr.aggregation.mean import WeightedMean
from ucadi_flwr.errors import ProtectionError
from ucadi_flwr.protection.frame import MessageContext
from ucadi_flwr.protection.keys import NO_KEY
from ucadi_flwr.protection.plan import ModelPlan
from ucadi_flwr.protection.protect import make_site, make_sum


@ALL_SCHEMES
def test_the_server_takes_each_site_once(scheme: str) -> None:
    fed = federation(scheme)
    total, blob = fed.sum(), fed.seal("tongji", random_state(0))
    assert total.add(blob) == "tongji"
    with pytest.raises(ProtectionError, match="'tongji' is in the sum already"):
        total.add(blob)
    assert total.members == ("tongji",)


@ALL_SCHEMES
def test_the_server_needs_a_quorum_and_has_a_limit(scheme: str) -> None:
    fed = federation(scheme, max_sites=3)
    total = fed.sum()
    for i in range(3):
        with pytest.raises(ProtectionError, match=f"{i} sites are in the sum, 3 are needed"):
            total.result()
        total.add(fed.seal(f"s{i}", random_state(i)))
    total.result()
    with pytest.raises(ProtectionError, match="room for 3 sites"):
        total.add(fed.seal("s4", random_state(4)))


@ALL_SCHEMES
def test_a_contribution_of_another_context(scheme: str) -> None:
    fed = federation(scheme)
    for other in (
        MessageContext("run-a", 2),
        MessageContext("run-b", 1),
        MessageContext("run-a", 1, attempt=1),
        MessageContext("run-a", 1, "metrics"),
    ):
        with pytest.raises(ProtectionError, match="the message is of"):
            fed.sum().add(fed.seal("tongji", random_state(0), context=other))


def test_mixed_keys_and_plans() -> None:
    fed, other = federation("bfv"), federation("bfv", 4)
    with pytest.raises(ProtectionError, match="under key"):
        fed.sum().add(other.seal("tongji", random_state(0)))
    site = make_site(fed.key, "tongji", 3)
    blob = site.seal(other.plan, CONTEXT, random_state(0), fed.reference, 1, 3)
    with pytest.raises(ProtectionError, match="other parameters"):
        fed.sum().add(blob)


def test_other_ranges_are_refused_by_the_server() -> None:
    fed = federation("bfv")
    total = fed.sum()
    total.add(fed.seal("tongji", random_state(0)))
    other = {n: 2 * array for n, array in fed.reference.items()}
    blob = fed.site("union").seal(fed.plan, CONTEXT, random_state(1), other, 1, 3)
    with pytest.raises(ProtectionError, match="'union' uses another global model"):
        total.add(blob)


@ALL_SCHEMES
@pytest.mark.parametrize("cut", [0, 1, 50, 200, -1])
def test_truncated_and_random_contributions(scheme: str, cut: int) -> None:
    fed = federation(scheme)
    blob = fed.seal("tongji", random_state(0))
    noise = np.random.default_rng(0).bytes(len(blob))
    for bad in (blob[:cut], blob + b"x", noise, noise[:cut], b""):
        total = fed.sum()
        with pytest.raises(ProtectionError) as refused:
            total.add(bad)
        assert "\n" not in str(refused.value)
        assert total.members == ()


def test_a_context_of_another_scheme() -> None:
    fed = federation("bfv")
    other = ModelPlan("ckks", fed.layout)
    with pytest.raises(ProtectionError, match="the key is for bfv, the plan for ckks"):
        make_sum(fed.context, other, CONTEXT, 3, WeightedMean)
    with pytest.raises(ProtectionError, match="the key is for none, the plan for bfv"):
        make_sum(NO_KEY, fed.plan, CONTEXT, 3, WeightedMean)
    for site, plan in ((fed.site("a"), other), (make_site(None, "a", 3), fed.plan)):
        with pytest.raises(ProtectionError, match="the key is for"):
            site.seal(plan, CONTEXT, fed.reference, fed.reference, 1, 3)
