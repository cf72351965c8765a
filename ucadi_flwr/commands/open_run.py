"""``ucadi open``: a key holder reads what an encrypted run left at its server."""

from pathlib import Path
from typing import Annotated

import typer

from ucadi_flwr.errors import DataError
from ucadi_flwr.protection.keys import SiteKey
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe
from ucadi_flwr.results.layout import ServerFolder, model_name


def open_run(
    run: Annotated[Path, typer.Argument(help="The server's folder of an encrypted run.")],
    key: Annotated[Path, typer.Option(help="The sites' secret key.")],
    task: Annotated[str, typer.Option(help="The task recipe that was run: a name or a file.")],
    strategy: Annotated[str, typer.Option(help="The strategy recipe that was run.")],
    output: Annotated[Path, typer.Option(help="A folder for model.safetensors.")],
) -> None:
    """Open the model of an encrypted run with the sites' key, and say how it tested."""
    from ucadi_flwr.evaluation.metrics import from_counts
    from ucadi_flwr.exchange.sealed_run import open_sealed
    from ucadi_flwr.models.files import save_model

    recipe, found = loader.load(TaskRecipe, task), loader.load(StrategyRecipe, strategy)
    opened = open_sealed(ServerFolder(run).sealed, recipe, found, SiteKey.load(key))
    if (model_file := output / model_name(ALL_SITES)).exists():
        raise DataError(f"{model_file} exists already; it is not overwritten")
    output.mkdir(parents=True, exist_ok=True)
    model = save_model(output, ALL_SITES, opened.state, recipe, opened.local)
    print(f"model: {output / model['file']}")
    for server_round, loss in opened.losses.items():
        print(f"round {server_round}: loss {loss:.4f}")
    if opened.counts is not None:
        figures = from_counts(opened.counts, recipe.classes.index(recipe.positive_class))
        print(
            f"test: {figures.n} cases, AUC {_number(figures.auc)}, sensitivity "
            f"{_number(figures.sensitivity)}, specificity {_number(figures.specificity)}"
        )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
