"""What a site refuses to seal."""

import numpy as np
import pytest
from helpers.protected_round import ALL_SCHEMES, CONTEXT, ENCRYPTED, federation, random_state

from ucadi_flwr.errors import ProtectionError
from ucadi_flwr.protection.frame import MessageContext
from ucadi_flwr.protection.plan import IntegerPlan


@ALL_SCHEMES
@pytest.mark.parametrize(("weight", "total"), [(0, 3), (-1, 3), (4, 3)])
def test_impossible_weights(scheme: str, weight: int, total: int) -> None:
    with pytest.raises(ProtectionError, match=f"a weight of {weight} of {total}"):
        federation(scheme).seal("tongji", random_state(0), weight, total)


@ALL_SCHEMES
def test_values_that_are_not_finite(scheme: str) -> None:
    broken = random_state(0)
    broken["norm.var"][2] = np.nan
    with pytest.raises(ProtectionError, match=r"'norm.var' holds values that are not finite"):
        federation(scheme).seal("tongji", broken)


@ENCRYPTED
def test_a_site_seals_once_for_each_context(scheme: str) -> None:
    fed = federation(scheme)
    site = fed.site("tongji")
    site.seal(fed.plan, CONTEXT, random_state(0), fed.reference, 1, 3)
    with pytest.raises(ProtectionError, match="sealed already"):
        site.seal(fed.plan, CONTEXT, random_state(1), fed.reference, 1, 3)
    repeat = MessageContext("run-a", 1, attempt=1)
    site.seal(fed.plan, repeat, random_state(1), fed.reference, 1, 3)


@ALL_SCHEMES
@pytest.mark.parametrize(
    ("vector", "message"),
    [
        (np.zeros(4, np.int64), r"expected int64 \(3,\)"),
        (np.zeros(3, np.int32), r"expected int64 \(3,\)"),
        (np.array([0, 0, 2**62]), "cannot be added exactly"),
        (np.array([0, -(2**62), 0]), "cannot be added exactly"),
    ],
)
def test_integers_that_do_not_fit(scheme: str, vector: np.ndarray, message: str) -> None:
    site, plan = federation(scheme).site("a"), IntegerPlan(scheme, 3)
    with pytest.raises(ProtectionError, match=message):
        site.seal_integers(plan, CONTEXT, vector)
