"""``ucadi seal``: a key holder encrypts an initial model for an encrypted run."""

from pathlib import Path
from typing import Annotated

import typer

from ucadi_flwr.errors import DataError
from ucadi_flwr.files.atomic import replacing
from ucadi_flwr.protection.keys import SiteKey
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe


def seal(
    model: Annotated[Path, typer.Argument(help="A .safetensors, .pth or .pt file.")],
    task: Annotated[str, typer.Option(help="The task recipe: a name or a file.")],
    strategy: Annotated[str, typer.Option(help="The strategy recipe that will be run.")],
    key: Annotated[Path, typer.Option(help="The sites' secret key.")],
    out: Annotated[Path, typer.Option(help="The new file, for ucadi submit --initial-model.")],
    seed: Annotated[int, typer.Option(help="The run's seed, for new layers.", min=0)] = 0,
) -> None:
    """Encrypt an initial model at a hospital: the server passes it on and cannot read it."""
    from ucadi_flwr.exchange.initial_model import sealed_initial_model

    task_recipe = loader.load(TaskRecipe, task)
    strategy_recipe = loader.load(StrategyRecipe, strategy)
    if out.exists():
        raise DataError(f"{out} exists already; it is not overwritten")
    sealed = sealed_initial_model(model, task_recipe, strategy_recipe, seed, SiteKey.load(key))
    with replacing(out) as partial:
        partial.write_bytes(sealed)
    print(f"sealed: {out}, {len(sealed)} bytes")
