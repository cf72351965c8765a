"""A run in which the server or a site may fail at any message, over the loopback network."""

import json
import random
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from flwr.app import Error, Message

from helpers.federation import LocalRun, clock, events, play
from helpers.killed_run import Killed
from helpers.loopback_grid import LoopbackGrid, copy
from ucadi_flwr.client_app import app
from ucadi_flwr.errors import FederationError

SIZES = {"a": 8, "b": 6, "c": 12}
RECIPE = "min-sites: 2\nround-timeout: 60.0\nwait-for-sites: 60.0"
KILL, CRASH, LOSE, SILENT = 0.05, 0.04, 0.04, 0.03
MOST_STARTS = 200


class Clock:
    """A clock whose time passes only in sleeps."""

    def __init__(self) -> None:
        self.now = 0.0

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


class WildGrid(LoopbackGrid):
    """A server that is killed before it sends or as a reply comes, and sites that fail.

    A site crashes before it has done anything, or with its reply ready, or never replies.
    """

    def __init__(self, config: LocalRun, chance: random.Random, faults: Counter[str]) -> None:
        super().__init__(app, config.values, nodes=3, fault=self._fail)
        self.chance, self.faults = chance, faults

    def _happens(self, fault: str, probability: float) -> bool:
        hit = self.chance.random() < probability
        self.faults[fault] += hit
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
    """Start and resume a run until it is done; how often each fault happened."""
    chance, faults = random.Random(seed), Counter[str]()  # noqa: S311 - a seeded test
    config.server.mkdir(parents=True)
    with clock(Clock()):
        for _ in range(MOST_STARTS):
            try:
                grid = WildGrid(config, chance, faults)
                play(grid, config)
                return faults
            except Killed:
                pass
            except FederationError as error:  # no quorum in time
                if "min-sites is 2" not in str(error):
                    raise
                faults["stops"] += 1
            config = config.changed(resume=True)
    raise AssertionError(f"not done after {MOST_STARTS} starts: {describe(faults)}")


def describe(faults: Counter[str]) -> str:
    return ", ".join(f"{number} {kind}" for kind, number in sorted(faults.items()))


def ledger(server: Path) -> list[list[str]]:
    """The sites that took part in each round, from run.json."""
    rounds = json.loads((server / "run.json").read_text(encoding="utf-8"))["rounds"]
    assert [r["round"] for r in rounds] == list(range(1, len(rounds) + 1))
    return [sorted(r["sites"]) for r in rounds]


def done_twice(config: LocalRun) -> int:
    """The number of rounds that were complete and were done again nevertheless."""
    counted = [event["round"] for event in events(config, "round")]
    return len(counted) - len(set(counted))
