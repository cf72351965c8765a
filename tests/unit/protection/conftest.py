"""A small model with one tensor of each kind, and a federation of it with real keys."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from ucadi_flwr.aggregation.mean import WeightedMean
from ucadi_flwr.protection.encoding.layout import Layout
from ucadi_flwr.protection.frame import MessageContext
from ucadi_flwr.protection.keys import NO_KEY, SiteKey
from ucadi_flwr.protection.plan import ModelPlan
from ucadi_flwr.protection.protect import Site, Sum, make_site, make_sum

SHAPES = {"head.bias": (4,), "conv.weight": (64, 5, 13), "scale": (), "norm.var": (7,)}
OCCASION = MessageContext("run-a", 1)

State = dict[str, np.ndarray]


def random_state(seed: int, spread: float = 0.1) -> State:
    rng = np.random.default_rng(seed)
    return {n: np.asarray(rng.uniform(-spread, spread, s), np.float32) for n, s in SHAPES.items()}


class Federation:
    """Sites and a server that share a key, a plan and an message_context."""

    def __init__(self, scheme: str, values_per_slot: int = 3, max_sites: int = 128) -> None:
        self.layout = Layout(SHAPES)
        self.plan = ModelPlan(scheme, self.layout, values_per_slot, max_sites)
        self.key = None if scheme == "none" else SiteKey.create(scheme)
        self.context = self.key.context if self.key else NO_KEY
        self.reference = {n: np.full(s, 0.5, np.float32) for n, s in SHAPES.items()}

    def site(self, member: str, min_sites: int = 3) -> Site:
        return make_site(self.key, member, min_sites)

    def sum(self, message_context: MessageContext = OCCASION, min_sites: int = 3) -> Sum:
        return make_sum(self.context, self.plan, message_context, min_sites, WeightedMean)

    def seal(
        self,
        member: str,
        state: State,
        weight: int = 1,
        total: int = 3,
        message_context: MessageContext = OCCASION,
    ) -> bytes:
        return self.site(member).seal(
            self.plan, message_context, state, self.reference, weight, total
        )

    def add_up(self, blobs: Sequence[bytes], message_context: MessageContext = OCCASION) -> bytes:
        total = self.sum(message_context)
        for blob in blobs:
            total.add(blob)
        return total.result()


@pytest.fixture(scope="session")
def federation() -> Callable[..., Federation]:
    """A federation by scheme, the same one for the whole session: keys are slow to make."""
    made: dict[tuple[str, int, int], Federation] = {}

    def get(scheme: str = "bfv", values_per_slot: int = 3, max_sites: int = 128) -> Federation:
        name = (scheme, values_per_slot, max_sites)
        if name not in made:
            made[name] = Federation(*name)
        return made[name]

    return get


@pytest.fixture(scope="session")
def state() -> Callable[..., State]:
    """A random model by seed."""
    return random_state
