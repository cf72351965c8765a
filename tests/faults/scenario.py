"""What a scenario is, what it yields, and how its end is checked."""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import reference
from helpers import chaos
from world import LateError, World, world

Play = Callable[[Path], "Row"]
ALL_SITES: dict[str, Play] = {}


@dataclass(frozen=True)
class Row:
    """One line of the table; None where there is nothing to say."""

    happened: str
    seconds: float | None
    lost: int | None
    same: bool | None
    left: tuple[str, ...] = ()
    calm: float | None = None  # seconds of the first round, without a fault


class NotRunError(Exception):
    """This machine cannot play a scenario; the reason stands in the table."""


def scenario(play: Play) -> Play:
    """Enter a function; its docstring is the event."""
    ALL_SITES[play.__name__.replace("_", "-")] = play
    return play


def begun(place: World) -> None:
    """A run whose first round counts, and whose second trains at every site."""
    try:
        place.start_server()
        place.start_sites()
        place.submit()
        place.wait_round(1)
        place.wait_training(2)
    except LateError as error:
        raise NotRunError(f"no fault yet, the machine is slow: {first_line(error)}") from None


def first_line(error: BaseException) -> str:
    """Without what everybody said."""
    return (str(error).splitlines() or [type(error).__name__])[0][:300]


def judged(place: World, happened: str, since: float, until: float | None, recipe: str = "") -> Row:
    """End the federation; compare its model with the undisturbed run's, look for what is left."""
    place.close()
    server = place.out / "server"
    rounds = chaos.ledger(server)
    assert len(rounds) == place.rounds, rounds
    assert not (server / "checkpoints").exists(), "checkpoints are left"
    own = place.folder / "strategies" / f"{place.strategy}.yaml"
    strategy = str(own) if own.exists() else place.strategy
    key = next(place.kit / name / "encryption.key" for name in place.good)
    found = reference.model(server, str(place.task), strategy, key)
    task = place.task.read_text(encoding="utf-8")
    expected = reference.replay(place.data, place.strategy, rounds, recipe, task)
    counted = [event["round"] for event in place.events("round")]
    return Row(
        happened=happened,
        seconds=None if until is None else until - since,
        lost=len(counted) - len(set(counted)),
        same=reference.same(found, expected),
        left=tuple(place.left_behind()),
        calm=json.loads((server / "run.json").read_text())["rounds"][0]["seconds"],
    )


def now() -> float:
    """Wall-clock time, as the journal has it."""
    return time.time()


__all__ = [
    "ALL_SITES",
    "NotRunError",
    "Row",
    "World",
    "begun",
    "first_line",
    "judged",
    "now",
    "scenario",
    "world",
]
