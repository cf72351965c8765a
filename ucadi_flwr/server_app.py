"""Recipes → strategy → rounds → models and ``run.json`` on disk."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Context
from flwr.serverapp import Grid, ServerApp
from safetensors.torch import save_file

from ucadi_flwr.build import make_model
from ucadi_flwr.data.phantom.site import write_phantom
from ucadi_flwr.data.sites import POOLED
from ucadi_flwr.errors import DataError, UcadiError
from ucadi_flwr.evaluation.metrics import from_counts
from ucadi_flwr.models.state import read_state, trainable_names, write_state
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe
from ucadi_flwr.rounds import Journal
from ucadi_flwr.run_config import RunConfig
from ucadi_flwr.strategy import UcadiStrategy

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run one task × strategy × seed; an error ends the run and stands in its journal."""
    run = RunConfig.read(context.run_config)
    journal = Journal(run.cell / "journal.jsonl")
    try:
        run_cell(grid, run, journal)
    except UcadiError as error:
        journal.stopped(str(error))
        raise


def run_cell(grid: Grid, run: RunConfig, journal: Journal) -> None:
    """Run the rounds and write what came of them into the cell's folder."""
    task = loader.load(TaskRecipe, run.task)
    recipe = loader.load(StrategyRecipe, run.strategy)
    rounds = run.rounds or number_of_rounds(task, recipe)
    _require_images(run, task)
    model = make_model(task, run.seed)
    initial = read_state(model)
    strategy = UcadiStrategy(
        recipe,
        shapes={name: array.shape for name, array in initial.items()},
        trainable=trainable_names(model),
        classes=len(task.classes),
        expected_sites=run.nodes,
        journal=journal,
    )
    config = ConfigRecord(
        {
            "task-digest": loader.digest(task),
            "strategy-digest": loader.digest(recipe),
            "rounds": rounds,
            "seed": run.seed,
        }
    )
    arrays = ArrayRecord({name: Array(values) for name, values in initial.items()})
    strategy.start(grid, arrays, num_rounds=rounds, train_config=config)
    result = {
        "strategy": {"name": recipe.name, "digest": loader.digest(recipe)},
        "seed": run.seed,
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "rounds": [record.as_dict() for record in strategy.rounds],
        "models": [
            _save_model(run.cell, name, model, strategy, task) for name in sorted(strategy.models)
        ],
    }
    partial = run.cell / "run.json.partial"
    partial.write_text(json.dumps(result, indent=2, allow_nan=False), encoding="utf-8")
    partial.replace(run.cell / "run.json")


def number_of_rounds(task: TaskRecipe, strategy: StrategyRecipe) -> int:
    """As many rounds as make up the task's epochs, rounded up."""
    return -(-task.training.epochs // strategy.local_epochs)


def _require_images(run: RunConfig, task: TaskRecipe) -> None:
    if run.data or run.data_folder.is_dir():
        return
    if task.phantom is None:
        raise DataError(f"task {task.name} has no phantom; set data to a folder of images")
    phantom = task.phantom
    write_phantom(
        run.data_folder,
        sites=run.sites or phantom.sites,
        cases_per_site=phantom.cases_per_site,
        seed=phantom.seed,
        shape=phantom.size,
    )


def _save_model(
    folder: Path, trained_at: str, model: torch.nn.Module, strategy: UcadiStrategy, task: TaskRecipe
) -> dict[str, Any]:
    """Write one model with its counters at zero, so that a strict ``load_state_dict`` takes it."""
    write_state(model, {k: array.numpy() for k, array in strategy.models[trained_at].items()})
    name = "model.safetensors" if trained_at == POOLED else f"model-{trained_at}.safetensors"
    metadata = {"task": task.name, "task-digest": loader.digest(task), "trained-at": trained_at}
    partial = folder / f"{name}.partial"
    save_file(model.state_dict(), partial, {**metadata, "classes": json.dumps(task.classes)})
    partial.replace(folder / name)
    tests = strategy.tests[trained_at]
    positive = task.classes.index(task.positive_class)
    return {
        "trained_at": trained_at,
        "file": name,
        "sha256": hashlib.sha256((folder / name).read_bytes()).hexdigest(),
        "test": {site: from_counts(tests[site], positive).as_dict() for site in sorted(tests)},
    }
