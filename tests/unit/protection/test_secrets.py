"""What the messages disclose, and the memory of the server's sum."""

import pickle

import numpy as np
import psutil
import pytest
from helpers.known import known
from helpers.protected_round import CONTEXT, ENCRYPTED, federation, random_state, renamed

from ucadi_flwr.aggregation.mean import WeightedMean
from ucadi_flwr.protection.encoding.layout import Layout
from ucadi_flwr.protection.keys import SiteKey
from ucadi_flwr.protection.plan import ModelPlan
from ucadi_flwr.protection.protect import make_site, make_sum


def test_the_memory_of_a_sum_does_not_grow_with_its_sites() -> None:
    layout = Layout({"w": (300, 1000)})
    key, plan = SiteKey.create("bfv"), ModelPlan("bfv", layout, max_sites=128)
    model = {"w": np.ones((300, 1000), np.float32)}
    blob = make_site(key, "site-000", 3).seal(plan, CONTEXT, model, model, 1, 200)
    total, process = make_sum(key.context, plan, CONTEXT, 3, WeightedMean), psutil.Process()
    used = []
    for i in range(120):
        total.add(renamed(blob, "site-000", f"site-{i:03d}"))
        used.append(process.memory_info().rss)
    assert used[-1] - used[19] < 2 * len(blob)  # of 100 contributions


@ENCRYPTED
def test_no_secret_in_what_travels_or_is_shown(scheme: str) -> None:
    fed = federation(scheme)
    blobs = fed.seal_three()
    shown = b"".join([*blobs, fed.add_up(blobs), repr(vars(fed.site("a").__class__)).encode()])
    key = known(fed.key)
    plain = fed.layout.flatten(random_state(0)).tobytes()
    for content in (key.secret[100:], key.derived("tags"), plain):
        pieces = {content[i : i + 16] for i in range(0, len(content) - 15, 16)}
        assert not any(piece in shown for piece in pieces)
    opened = fed.site("a").open(fed.plan, CONTEXT, fed.add_up(blobs))
    assert "array" not in repr(opened)
    with pytest.raises((TypeError, AttributeError)):
        pickle.dumps(fed.site("a"))
