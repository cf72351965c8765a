"""Scenarios: functions that cause a fault and return its outcome, and how an outcome is checked."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import reference
from helpers import chaos
from world import LateError, World, open_world

Play = Callable[[Path], "Outcome"]
SCENARIOS: dict[str, Play] = {}


@dataclass(frozen=True)
class Outcome:
    """One line of the table; None where a value does not apply.

    ``left``: what was left behind. ``calm``: seconds of the first round, which has no fault.
    """

    happened: str
    seconds: float | None
    lost: int | None
    same: bool | None
    left: tuple[str, ...] = ()
    calm: float | None = None


class NotRunError(Exception):
    """This machine cannot run a scenario; the reason is in the table."""


def scenario(play: Play) -> Play:
    """Add a function to the scenarios; its docstring is the event in the table."""
    SCENARIOS[play.__name__.replace("_", "-")] = play
    return play


def start_run(world: World) -> None:
    """Start a run; its first round is complete, and every site trains in the second."""
    try:
        world.start_server()
        world.start_sites()
        world.submit()
        world.wait_round(1)
        world.wait_training(2)
    except LateError as error:
        raise NotRunError(f"no fault yet, the machine is slow: {first_line(error)}") from None


def first_line(error: BaseException) -> str:
    """The first line of an error, without the logs."""
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


def conclude(
    world: World, happened: str, since: float, until: float | None, recipe: str = ""
) -> Outcome:
    """End the federation, compare its model with the undisturbed run's, and list what is left."""
    world.close()
    server = world.out / "server"
    rounds = chaos.ledger(server)
    assert len(rounds) == world.rounds, rounds
    assert not (server / "checkpoints").exists(), "checkpoints are left"
    own_recipe = world.folder / "strategies" / f"{world.strategy}.yaml"
    strategy = str(own_recipe) if own_recipe.exists() else world.strategy
    key = next(world.kit / name / "encryption.key" for name in world.key_holders)
    state = reference.model(server, str(world.task), strategy, key)
    task = world.task.read_text(encoding="utf-8")
    expected = reference.replay(world.data, world.strategy, rounds, recipe, task)
    complete = [event["round"] for event in world.events("round")]
    return Outcome(
        happened=happened,
        seconds=None if until is None else until - since,
        lost=len(complete) - len(set(complete)),
        same=reference.same(state, expected),
        left=tuple(world.left_behind()),
        calm=json.loads((server / "run.json").read_text())["rounds"][0]["seconds"],
    )


def now() -> float:
    """Wall-clock time, as in the journal."""
    return time.time()


__all__ = [
    "SCENARIOS",
    "NotRunError",
    "Outcome",
    "World",
    "conclude",
    "first_line",
    "now",
    "open_world",
    "scenario",
    "start_run",
]
