"""The line about costs before round 1."""

from typing import Any

import pytest

from ucadi_flwr.exchange.agreement import Agreement
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.server.cost_estimate import measure


@pytest.mark.parametrize(
    ("strategy", "settings", "wanted"),
    [
        ("fedavg", {}, ["0.04 MB up and 0.04 MB down", "(none)", "0 MB of memory"]),
        ("ucadi", {}, ["0.06 MB up and 0.12 MB down", "(bfv)"]),
        ("fedavg-ckks", {}, ["0.32 MB up and 0.64 MB down", "(ckks)"]),
    ],
)
def test_the_line_says_bytes_seconds_and_memory(
    strategy: str, settings: dict[str, Any], wanted: list[str]
) -> None:
    recipe = loader.load(StrategyRecipe, strategy, settings)
    agreement = Agreement(recipe, "run", {"w": (100, 100)}, 2)
    line = measure(agreement, sites=3)
    assert all(part in line for part in wanted), line
    assert "to transmit" not in line
    timed = measure(agreement, sites=3, bandwidth=900_000)
    assert "at 900 KB/s" in timed
    assert "(0.1 s without encryption)" in timed
