"""Fifty rounds in which anything may die at any message, over the loopback network."""

import json
import random
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from flwr.app import Error, Message

from helpers.federation import LocalRun, clock, events, play
from helpers.loopback_grid import LoopbackGrid, copy
from ucadi_flwr.client_app import app
from ucadi_flwr.errors import FederationError

SIZES = {"a": 8, "b": 6, "c": 12}
RECIPE = "min-sites: 2\nround-timeout: 60.0\nwait-for-sites: 60.0"
KILL, CRASH, LOSE, SILENT = 0.05, 0.04, 0.04, 0.03
MOST_STARTS = 200


class Killed(BaseException):
    """The server's process is gone."""


class Clock:
    """Time that passes only where somebody waits."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class WildGrid(LoopbackGrid):
    """A server that dies before a message leaves or when an answer comes, and sites that fail.

    A site crashes before it has done anything, or with its answer ready, or never answers.
    """

    def __init__(self, config: LocalRun, chance: random.Random, seen: Counter[str]) -> None:
        super().__init__(app, config.values, nodes=3, fault=self._fail)
        self.chance, self.seen = chance, seen

    def _happens(self, what: str, probability: float) -> bool:
        hit = self.chance.random() < probability
        self.seen[what] += hit
        return hit

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        if self._happens("kills", KILL / 2):
            raise Killed
        return super().push_messages(messages)

    def _fail(self, node: int, message: Message) -> Message | None:
        if self._happens("kills", KILL / 2):
            raise Killed
        if self._happens("silences", SILENT):
            return None
        if self._happens("crashes", CRASH):
            return Message(Error(8, "the client's process ended"), reply_to=message)
        if self._happens("answers lost", LOSE):
            self.app(copy(message), self.contexts[node])
            return Message(Error(8, "the client's process ended"), reply_to=message)
        return message


def survive(config: LocalRun, seed: int) -> Counter[str]:
    """Start and resume a run until it is done; what happened to it, and how often it stopped."""
    chance, seen = random.Random(seed), Counter[str]()  # noqa: S311 - to be repeated
    config.server.mkdir(parents=True)
    with clock(Clock()):
        for _ in range(MOST_STARTS):
            try:
                grid = WildGrid(config, chance, seen)
                play(grid, config)
                return seen
            except Killed:
                pass
            except FederationError as error:  # no quorum in time
                if "min-sites is 2" not in str(error):
                    raise
                seen["stops"] += 1
            config = config.changed(resume=True)
    raise AssertionError(f"not done after {MOST_STARTS} starts: {told(seen)}")


def told(seen: Counter[str]) -> str:
    return ", ".join(f"{number} {what}" for what, number in sorted(seen.items()))


def ledger(server: Path) -> list[list[str]]:
    """Who took part in each round, by run.json."""
    rounds = json.loads((server / "run.json").read_text(encoding="utf-8"))["rounds"]
    assert [r["round"] for r in rounds] == list(range(1, len(rounds) + 1))
    return [sorted(r["sites"]) for r in rounds]


def done_twice(config: LocalRun) -> int:
    """Rounds that counted and were done again all the same."""
    counted = [event["round"] for event in events(config, "round")]
    return len(counted) - len(set(counted))
