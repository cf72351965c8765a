"""One cell of a tiny federation over a loopback network, for the integration tests."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypedDict, Unpack
from unittest.mock import patch

import numpy as np
from flwr.app import Message
from safetensors.numpy import load_file

from helpers import tiny
from helpers.loopback_grid import Alter, Fault, LoopbackGrid, Order
from ucadi_flwr import server_app
from ucadi_flwr.client_app import app
from ucadi_flwr.exchange.sealed_run import OpenedRun, open_sealed
from ucadi_flwr.protection.keys import SiteKey
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.run_config import Flat, RunConfig
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe
from ucadi_flwr.results.journal import Journal
from ucadi_flwr.results.layout import RunFolder

SIZES = {"a": 16, "b": 8, "c": 24}


Value = bool | float | int | str
"""A value of the run-config."""


class GridOptions(TypedDict, total=False):
    """The arguments of :class:`LoopbackGrid` that tests choose."""

    nodes: int
    order: Order
    fault: Fault
    alter: Alter


@dataclass(frozen=True)
class LocalRun:
    """A simulated run's flat run-config, with the paths and values that tests ask for."""

    values: Flat

    @property
    def config(self) -> RunConfig:
        return RunConfig.read(self.values)

    @property
    def folder(self) -> RunFolder:
        return RunFolder(Path(str(self.values["out"])) / str(self.values["name"]))

    @property
    def cell(self) -> Path:
        return self.folder.path

    @property
    def server(self) -> Path:
        return self.folder.server.path

    @property
    def own_models(self) -> Path:
        return self.folder.sites.path

    @property
    def task(self) -> str:
        return self._text("task")

    @property
    def strategy(self) -> str:
        return self._text("strategy")

    @property
    def data(self) -> str:
        return self._text("data")

    @property
    def out(self) -> str:
        return self._text("out")

    @property
    def key(self) -> str:
        return self._text("key")

    @property
    def context(self) -> str:
        return self._text("context")

    @property
    def initial(self) -> str:
        return self._text("initial")

    @property
    def name(self) -> str:
        return self._text("name")

    @property
    def seed(self) -> int:
        return int(self.values["seed"])

    def changed(self, **changes: Value) -> "LocalRun":
        return LocalRun({**self.values, **changes})

    def _text(self, name: str) -> str:
        return str(self.values[name])


class Config(Protocol):
    """See :func:`configs`."""

    def __call__(
        self,
        strategy: str = "fedavg",
        *,
        scheme: str = "",
        recipe: str | None = None,
        **changes: Value,
    ) -> LocalRun: ...


def configs(folder: Path, data: Path) -> Config:
    """A function that makes settings; ``recipe`` is the text of another strategy.

    ``scheme`` makes a key pair of that scheme in ``folder``, once.
    """
    task = tiny.write_task(folder)

    def make(
        strategy: str = "fedavg",
        *,
        scheme: str = "",
        recipe: str | None = None,
        **changes: Value,
    ) -> LocalRun:
        if recipe is not None:
            path = folder / f"{strategy}.yaml"
            path.write_text(f"schema_version: 1\nname: {strategy}\nsummary: x\n{recipe}\n")
            strategy = str(path)
        values: Flat = {"task": str(task), "strategy": strategy, "data": str(data), "sites": 0}
        values |= {"nodes": 3, "rounds": 2, "seed": 0, "out": str(folder / "out"), "threads": 1}
        values |= {"context": "", "key": "", "bandwidth": 0, "holdout": "", "folds": 0, "fold": 0}
        values |= {"resume": False, "initial": ""}
        if scheme:
            key, context = folder / f"{scheme}.key", folder / f"{scheme}.context"
            if not key.exists():
                made = SiteKey.create(scheme)
                made.save(key)
                made.context.save(context)
            values |= {"key": str(key), "context": str(context)}
        return LocalRun({**values, "name": "cell", **changes})

    return make


def run(config: LocalRun, **grid: Unpack[GridOptions]) -> tuple[dict[str, Any], LoopbackGrid]:
    """Run one cell; run.json and the network."""
    options: GridOptions = {"nodes": 3, **grid}
    network = LoopbackGrid(app, config.values, **options)
    play(network, config)
    document: dict[str, Any] = json.loads((config.server / "run.json").read_text())
    return document, network


def play(network: LoopbackGrid, config: LocalRun) -> None:
    """Run one cell on a network."""
    folder = config.folder.server
    folder.path.mkdir(parents=True, exist_ok=True)
    server_app.run(network, config.config, folder, Journal(folder.journal))


class Time(Protocol):
    """What the server uses of the module ``time``."""

    def monotonic(self) -> float: ...

    def sleep(self, seconds: float) -> None: ...


@contextmanager
def clock(instead: Time) -> Iterator[None]:
    """Let the server wait by another clock."""
    with (
        patch("ucadi_flwr.server.cohort.time", instead),
        patch("ucadi_flwr.server.replies.time", instead),
    ):
        yield


def model(config: LocalRun, name: str = "model") -> dict[str, np.ndarray]:
    return load_file(config.server / f"{name}.safetensors")


def events(config: LocalRun, kind: str) -> list[dict[str, Any]]:
    lines = (config.server / "journal.jsonl").read_text().splitlines()
    return [event for line in lines if (event := json.loads(line))["event"] == kind]


Reply = Callable[[Message], Message | None]


def fault_at(node: int, reply: Reply, kind: str = "train") -> Fault:
    """Replace one node's answers to messages of a kind."""

    def fault(n: int, message: Message) -> Message | None:
        hit = n == node and message.metadata.message_type == kind
        return reply(message) if hit else message

    return fault


def once(reply: Reply) -> Reply:
    """Replace the first answer only."""
    calls: list[Message] = []

    def first(message: Message) -> Message | None:
        calls.append(message)
        return reply(message) if len(calls) == 1 else message

    return first


def recipes(config: LocalRun) -> tuple[TaskRecipe, StrategyRecipe]:
    return loader.load(TaskRecipe, config.task), loader.load(StrategyRecipe, config.strategy)


def opened(config: LocalRun) -> OpenedRun:
    """An encrypted run's result as a key holder reads it."""
    return open_sealed(
        config.folder.server.sealed, *recipes(config), SiteKey.load(Path(config.key))
    )


def same(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray]) -> bool:
    """To the bit."""
    return a.keys() == b.keys() and all(a[n].tobytes() == b[n].tobytes() for n in a)
