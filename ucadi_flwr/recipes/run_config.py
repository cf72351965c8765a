"""The flat settings of one Flower run, as ``pyproject.toml`` and ``flwr run -c`` hold them."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ucadi_flwr.errors import RecipeError
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe

OWN_MODELS = "sites"
"""The folder of a simulated run for the models that sites made their own."""


class RunConfig(BaseModel):
    """One task × one strategy × one seed. Flower allows neither lists nor absent values."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    task: str = Field(min_length=1, description="name or file of the task recipe")
    strategy: str = Field(min_length=1, description="name or file of the strategy recipe")
    data: str = Field(description="data folder; empty for the task's phantom")
    sites: int = Field(ge=0, description="deal the folder to so many sites; 0: as it stands")
    holdout: str = Field(description="sites that never train, with commas")
    folds: int = Field(ge=0, description="folds of a cross-validation; 0: none")
    fold: int = Field(ge=0, description="which fold validates, from 1")
    nodes: int = Field(ge=0, description="sites to wait for before round 1; 0: the quorum")
    rounds: int = Field(ge=0, description="0: as many as make up the task's epochs")
    seed: int = Field(ge=0)
    initial: str = Field(description="file of a model to begin with; empty: the seed's")
    out: str = Field(min_length=1, description="folder of the experiment")
    name: str = Field(description="folder of this run within it; empty for the folder itself")
    threads: int = Field(ge=1, description="processor threads of one site")
    context: str = Field(description="the server's encryption context; empty without encryption")
    key: str = Field(description="the sites' key, in a simulation only; a real site has its own")
    resume: bool = Field(description="go on from the newest checkpoint of the run in its folder")
    bandwidth: int = Field(ge=0, description="bytes a second, to tell transmission times; 0: not")

    @property
    def held_out(self) -> tuple[str, ...]:
        """The names of the sites that never train."""
        return tuple(name for name in self.holdout.split(",") if name)

    @property
    def folder(self) -> Path:
        """The experiment's folder."""
        return Path(self.out)

    @property
    def cell(self) -> Path:
        """The folder of this run's results."""
        return self.folder / self.name

    @property
    def server(self) -> Path:
        """What the server writes of this run; in a real federation it has nothing else."""
        return self.cell / "server"

    @property
    def own_models(self) -> Path:
        """What simulated sites keep for themselves of this run."""
        return self.cell / OWN_MODELS

    @property
    def data_folder(self) -> Path:
        """Where the sites' images are; the phantom stands in for missing ones."""
        return Path(self.data) if self.data else self.folder / "phantom"

    @classmethod
    def read(cls, values: Mapping[str, bool | float | int | str]) -> "RunConfig":
        """Flower's run-config → settings; raise :class:`RecipeError` naming the first bad key."""
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            first = error.errors()[0]
            raise RecipeError(
                f"run-config: {'.'.join(map(str, first['loc']))}: {first['msg']}"
            ) from None


def number_of_rounds(task: TaskRecipe, strategy: StrategyRecipe) -> int:
    """As many rounds as make up the task's epochs, rounded up.

    20 epochs with 3 local epochs are 7 rounds, so 21 epochs: every round trains the same number.
    """
    return -(-task.training.epochs // strategy.local_epochs)
