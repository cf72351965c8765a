"""The run-config of one Flower run: flat settings, read into three typed groups.

Flower's run-config allows neither lists nor absent values, so that a setting that is not given is
empty or 0. Both the ServerApp and the ClientApps get it. docs/deployment.md says which value
travels here, which in a message, and which is the node's own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ucadi_flwr.errors import RecipeError
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe

Group = TypeVar("Group", bound="_Settings")

Flat = dict[str, bool | float | int | str]
"""A run-config as Flower holds it."""


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RunSettings(_Settings):
    """What every run needs: one task × one strategy × one seed."""

    task: str = Field(min_length=1, description="name or file of the task recipe")
    strategy: str = Field(min_length=1, description="name or file of the strategy recipe")
    rounds: int = Field(ge=0, description="0: as many as make up the task's epochs")
    seed: int = Field(ge=0)


class ServerSettings(_Settings):
    """What only the server uses; its paths are on the server's machine."""

    out: str = Field(min_length=1, description="folder of the experiment")
    name: str = Field(description="folder of this run within it; empty for the folder itself")
    nodes: int = Field(ge=0, description="sites to wait for before round 1; 0: the quorum")
    context: str = Field(description="file of the encryption context; empty without encryption")
    initial: str = Field(description="file of a model to start from; empty: the seed's")
    resume: bool = Field(description="continue from the newest checkpoint of the run in its folder")
    bandwidth: int = Field(ge=0, description="bytes/s, to report transmission times; 0: unknown")


class SimulationSettings(_Settings):
    """What a simulation adds: one machine holds the images and the key of all sites."""

    data: str = Field(description="data folder; empty for the task's phantom")
    sites: int = Field(ge=0, description="deal the folder to so many sites; 0: as it is")
    holdout: str = Field(description="sites that never train, with commas")
    folds: int = Field(ge=0, description="folds of a cross-validation; 0: none")
    fold: int = Field(ge=0, description="which fold validates, from 1")
    threads: int = Field(ge=1, description="processor threads of one site")
    key: str = Field(description="file of the sites' key; empty without encryption")

    @property
    def held_out(self) -> tuple[str, ...]:
        """The names of the sites that never train."""
        return tuple(name for name in self.holdout.split(",") if name)


@dataclass(frozen=True)
class RunConfig:
    """The settings of one run; ``simulation`` is None in a real federation."""

    run: RunSettings
    server: ServerSettings
    simulation: SimulationSettings | None = None

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> "RunConfig":
        """Flower's run-config → settings; raise :class:`RecipeError` naming the first bad key."""
        simulated = set(SimulationSettings.model_fields)
        known = {*RunSettings.model_fields, *ServerSettings.model_fields, *simulated}
        if unknown := sorted(values.keys() - known):
            raise RecipeError(f"run-config: {str(unknown[0])[:64]}: no such setting")
        return cls(
            _part(RunSettings, values),
            _part(ServerSettings, values),
            _part(SimulationSettings, values) if values.keys() & simulated else None,
        )

    def flat(self) -> Flat:
        """The settings as Flower holds them; :meth:`read` is the inverse."""
        groups = (self.run, self.server, self.simulation)
        return {key: value for group in groups if group for key, value in group}


def number_of_rounds(task: TaskRecipe, strategy: StrategyRecipe) -> int:
    """As many rounds as make up the task's epochs, rounded up.

    20 epochs with 3 local epochs are 7 rounds, so 21 epochs: every round trains the same number.
    """
    return -(-task.training.epochs // strategy.local_epochs)


def _part(group: type[Group], values: Mapping[str, Any]) -> Group:
    own = {key: values[key] for key in group.model_fields if key in values}
    try:
        return group.model_validate(own)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise RecipeError(f"run-config: {where}: {first['msg']}") from None
