"""``none``: the same mean to the bit, and the same refusals."""

import numpy as np
import pytest
from helpers.protected_round import CONTEXT, federation, random_state

from ucadi_flwr.aggregation.mean import WeightedMean
from ucadi_flwr.errors import ProtectionError
from ucadi_flwr.protection import frame
from ucadi_flwr.protection.frame import Kind
from ucadi_flwr.protection.keys import NO_KEY
from ucadi_flwr.protection.plan import IntegerPlan, expected
from ucadi_flwr.protection.protect import make_sum


def test_a_total_that_differs_between_sites() -> None:
    fed = federation("none")
    total = fed.sum()
    total.add(fed.seal("a", random_state(0), 1, 3))
    with pytest.raises(ProtectionError, match="'b' declares another total weight"):
        total.add(fed.seal("b", random_state(1), 1, 4))
    assert total.members == ("a",)


def test_the_server_checks_what_a_site_did_not() -> None:
    fed = federation("none")
    header = expected(fed.plan, NO_KEY, CONTEXT, Kind.CONTRIBUTION)
    blob = fed.seal("a", random_state(0), 1, 3)
    payload = bytearray(frame.read(blob, header).payload)
    for start, content, message in (
        (0, bytes(8), "a weight of 0 of 3"),
        (8, bytes(8), "a weight of 1 of 0"),
        (16, np.float32(np.nan).tobytes(), "not finite"),
    ):
        changed = payload[:start] + content + payload[start + len(content) :]
        bad = frame.write(header, ["a"], bytes(frame.ID_BYTES), bytes(changed))
        with pytest.raises(ProtectionError, match=message):
            fed.sum().add(bad)


def test_integers_that_are_too_large_for_the_sum() -> None:
    fed, plan = federation("none"), IntegerPlan("none", 2)
    header = expected(plan, NO_KEY, CONTEXT, Kind.CONTRIBUTION)
    bad = frame.write(header, ["a"], bytes(frame.ID_BYTES), np.array([0, 2**62]).tobytes())
    with pytest.raises(ProtectionError, match="cannot be added exactly"):
        make_sum(fed.context, plan, CONTEXT, 3, WeightedMean).add(bad)
