"""``ucadi open``: a key holder opens the result of an encrypted run."""

from pathlib import Path
from typing import Annotated

import typer

from ucadi_flwr.errors import DataError
from ucadi_flwr.protection.keys import SiteKey
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe
from ucadi_flwr.results.layout import ServerFolder


def open_run(
    run: Annotated[Path, typer.Argument(help="The server's folder of an encrypted run.")],
    key: Annotated[Path, typer.Option(help="The sites' secret key.")],
    task: Annotated[str, typer.Option(help="Name or file of the run's task recipe.")],
    strategy: Annotated[str, typer.Option(help="Name or file of the run's strategy recipe.")],
    output: Annotated[Path, typer.Option(help="Folder for model.safetensors.")],
) -> None:
    """Open the model of an encrypted run with the sites' key, and show its losses and its test."""
    from ucadi_flwr.evaluation.metrics import from_counts
    from ucadi_flwr.exchange.sealed_run import open_sealed
    from ucadi_flwr.models.files import model_name, save_model

    task_recipe = loader.load(TaskRecipe, task)
    strategy_recipe = loader.load(StrategyRecipe, strategy)
    sealed = ServerFolder(run).sealed
    opened = open_sealed(sealed, task_recipe, strategy_recipe, SiteKey.load(key))
    if (model_file := output / model_name(ALL_SITES)).exists():
        raise DataError(f"{model_file} exists already; it is not overwritten")
    output.mkdir(parents=True, exist_ok=True)
    model = save_model(output, ALL_SITES, opened.state, task_recipe, opened.local)
    print(f"model: {output / model['file']}")
    for server_round, loss in opened.losses.items():
        print(f"round {server_round}: loss {loss:.4f}")
    if opened.counts is not None:
        positive = task_recipe.classes.index(task_recipe.positive_class)
        measures = from_counts(opened.counts, positive)
        print(
            f"test: {measures.n} cases, AUC {_number(measures.auc)}, sensitivity "
            f"{_number(measures.sensitivity)}, specificity {_number(measures.specificity)}"
        )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"
