"""A small model with one tensor of each kind, and a federation of it with real keys."""

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
import pytest

from ucadi_flwr.aggregation.mean import WeightedMean
from ucadi_flwr.errors import ProtectionError
from ucadi_flwr.protection import frame
from ucadi_flwr.protection.encoding.layout import Layout
from ucadi_flwr.protection.frame import Frame, Kind, MessageContext
from ucadi_flwr.protection.keys import NO_KEY, SiteKey
from ucadi_flwr.protection.plan import ModelPlan, expected
from ucadi_flwr.protection.protect import ContributionSum, SiteEnd, make_site, make_sum

SHAPES = {"head.bias": (4,), "conv.weight": (64, 5, 13), "scale": (), "norm.var": (7,)}
CONTEXT = MessageContext("run-a", 1)
NAMES = ["tongji", "union", "nccid"]

ALL_SCHEMES = pytest.mark.parametrize("scheme", ["none", "bfv", "ckks"])
ENCRYPTED = pytest.mark.parametrize("scheme", ["bfv", "ckks"])

State = dict[str, np.ndarray]


def random_state(seed: int, spread: float = 0.1) -> State:
    """A model with values within ±spread."""
    rng = np.random.default_rng(seed)
    return {n: np.asarray(rng.uniform(-spread, spread, s), np.float32) for n, s in SHAPES.items()}


class ProtectedFederation:
    """Sites and a server that share a key and a plan."""

    def __init__(self, scheme: str, values_per_slot: int, max_sites: int) -> None:
        self.layout = Layout(SHAPES)
        self.plan = ModelPlan(scheme, self.layout, values_per_slot, max_sites)
        self.key = None if scheme == "none" else SiteKey.create(scheme)
        self.context = self.key.context if self.key else NO_KEY
        self.reference = {n: np.full(s, 0.5, np.float32) for n, s in SHAPES.items()}

    def site(self, member: str, min_sites: int = 3) -> SiteEnd:
        return make_site(self.key, member, min_sites)

    def sum(self, context: MessageContext = CONTEXT, min_sites: int = 3) -> ContributionSum:
        return make_sum(self.context, self.plan, context, min_sites, WeightedMean)

    def seal(
        self,
        member: str,
        state: State,
        weight: int = 1,
        total: int = 3,
        context: MessageContext = CONTEXT,
    ) -> bytes:
        return self.site(member).seal(self.plan, context, state, self.reference, weight, total)

    def seal_three(self) -> list[bytes]:
        """The contributions of :data:`NAMES`, with the models 0, 1 and 2."""
        return [self.seal(name, random_state(i)) for i, name in enumerate(NAMES)]

    def add_up(self, blobs: Sequence[bytes], context: MessageContext = CONTEXT) -> bytes:
        total = self.sum(context)
        for blob in blobs:
            total.add(blob)
        return total.result()

    def read(self, blob: bytes, kind: Kind = Kind.SUM) -> Frame:
        """The frame of a message of this plan."""
        return frame.read(blob, expected(self.plan, self.context, CONTEXT, kind))

    def refusal(self, blob: bytes, context: MessageContext = CONTEXT) -> str:
        """The reason, one line, for which a site refuses to open a sum."""
        with pytest.raises(ProtectionError) as refused:
            self.site("a").open(self.plan, context, blob)
        assert "\n" not in str(refused.value)
        return str(refused.value)


@cache
def federation(
    scheme: str = "bfv", values_per_slot: int = 3, max_sites: int = 128
) -> ProtectedFederation:
    """The same federation for the whole session: keys are slow to make."""
    return ProtectedFederation(scheme, values_per_slot, max_sites)


def renamed(blob: bytes, member: str, new: str) -> bytes:
    """A contribution under another name in its frame, as the server could write it."""
    start = blob.index(member.encode().ljust(frame.MEMBER_BYTES, b"\0"))
    name = new.encode().ljust(frame.MEMBER_BYTES, b"\0")
    return blob[:start] + name + blob[start + frame.MEMBER_BYTES :]


def close(
    state: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray], within: float
) -> bool:
    """Whether no value of two models differs by more."""
    return all(np.abs(state[n] - expected[n]).max() <= within for n in expected)
