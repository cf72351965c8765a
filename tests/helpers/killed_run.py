"""Runs whose server is killed at a chosen message, over the loopback network, and resumed."""

from collections.abc import Callable
from typing import Any, Unpack

import numpy as np
import pytest
from flwr.app import Message

from helpers.federation import Config, GridOptions, LocalRun, Value, model, opened, run
from helpers.loopback_grid import LoopbackGrid

ADAM = "server-optimizer: {name: fedadam, learning-rate: 0.01}\nprotection: bfv"
ROUNDS = 4


class Killed(BaseException):
    """The server's process was killed."""


def configure(config: Config, strategy: str, **changes: Value) -> LocalRun:
    """Settings of a run, with a key if the strategy encrypts; ``adam`` is FedAdam with BFV."""
    recipe = ADAM if strategy == "adam" else None
    scheme = "bfv" if strategy in ("ucadi", "adam") else ""
    return config(strategy, scheme=scheme, recipe=recipe, rounds=ROUNDS, **changes)


def killing(kind: str, group: str, second_site: bool = True) -> Callable[[int, Message], Message]:
    """Kill the server when a site gets this message; ``second_site``: when the second one does."""

    def fault(node: int, message: Message) -> Message:
        hit = message.metadata.message_type == kind and message.metadata.group_id == group
        if hit and (node == 101 or kind == "evaluate" or not second_site):
            raise Killed
        return message

    return fault


def kill(config: LocalRun, kind: str, group: str) -> None:
    """Run until the server is killed at this message."""
    pooled = "central" in config.strategy
    with pytest.raises(Killed):
        run(config, fault=killing(kind, group, second_site=not pooled))


def resume(config: LocalRun, **grid: Unpack[GridOptions]) -> tuple[dict[str, Any], LoopbackGrid]:
    """Continue a run to its end; run.json and the network."""
    return run(config.changed(resume=True), **grid)


def final_state(config: LocalRun) -> dict[str, np.ndarray]:
    """The final model of a finished run, opened if it is encrypted."""
    if not config.context:
        return model(config, "model-b" if "local" in config.strategy else "model")
    result = opened(config)
    assert sorted(result.losses) in ([], list(range(1, ROUNDS + 1)))
    return result.state
