"""Recipes → strategy → rounds → what came of them on disk.

A server that encrypts writes sums that it cannot open (:mod:`sealed_run`); one that does not
writes the models.
"""

import contextlib
import json
from pathlib import Path
from typing import Any

from flwr.app import ConfigRecord, Context
from flwr.serverapp import Grid, ServerApp
from torch import nn

from ucadi_flwr.aggregation.optimizers import Arrays
from ucadi_flwr.data.phantom.site import write_phantom
from ucadi_flwr.errors import DataError, ProtectionError, UcadiError
from ucadi_flwr.evaluation.metrics import from_counts
from ucadi_flwr.exchange.agreement import Agreement
from ucadi_flwr.exchange.global_model import GlobalModel, replay_rounds
from ucadi_flwr.exchange.initial_model import begin
from ucadi_flwr.exchange.sealed_run import write_sealed
from ucadi_flwr.exchange.wire import array_record, array_values
from ucadi_flwr.files.atomic import replacing
from ucadi_flwr.files.locks import held
from ucadi_flwr.models.factory import make_model
from ucadi_flwr.models.files import save_model
from ucadi_flwr.models.parts import merge
from ucadi_flwr.models.state import read_state, trainable_names
from ucadi_flwr.protection.keys import NO_KEY, ServerContext
from ucadi_flwr.protection.protect import make_site
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.run_config import RunConfig, number_of_rounds
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe
from ucadi_flwr.results.journal import Journal
from ucadi_flwr.server.checkpoints import Checkpoints, Identity, digest_of_arrays
from ucadi_flwr.server.strategy import UcadiStrategy
from ucadi_flwr.training.freezing import select_trainable

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run one task × strategy × seed; an error ends the run and stands in its journal."""
    run = RunConfig.read(context.run_config)
    journal = Journal(run.server / "journal.jsonl")
    try:
        with held(run.server, "wait until it ends, or stop it"):
            run_cell(grid, run, journal)
    except (UcadiError, OSError) as error:
        with contextlib.suppress(OSError):  # the disk may be full
            journal.stopped(str(error))
        raise


def run_cell(grid: Grid, run: RunConfig, journal: Journal) -> None:
    """Run the rounds and write what came of them into the run's server folder."""
    task = loader.load(TaskRecipe, run.task)
    recipe = loader.load(StrategyRecipe, run.strategy)
    rounds = run.rounds or number_of_rounds(task, recipe)
    context = _context(run, recipe)
    _require_images(run, task)
    model = make_model(task, run.seed)
    if recipe.personalisation is not None:
        select_trainable(
            model, recipe.personalisation.fine_tune
        )  # now, and not after the last round
    file = Path(run.initial) if run.initial else None
    initial, own, notes = begin(file, model, task, recipe, context)
    shapes = {n: v.shape for n, v in read_state(model).items() if n not in own}
    for note in notes:
        journal.log(note)
    identity = Identity(
        task=loader.digest(task),
        strategy=loader.digest(recipe),
        initial=digest_of_arrays((name, array.tobytes()) for name, array in initial.items()),
        key_id=context.key_id.hex(),
        seed=run.seed,
        rounds=rounds,
    )
    first = array_record(initial)
    del initial  # a large model is in memory once here
    checkpoints = Checkpoints(run.server / "checkpoints", identity)
    begun = checkpoints.resume() if run.resume else checkpoints.begin()
    agreement = Agreement(
        recipe,
        run=begun.run,
        shapes=shapes,
        classes=len(task.classes),
    )
    strategy = UcadiStrategy(
        agreement, context, run.nodes, journal, run.bandwidth, begun.starts, checkpoints.save
    )
    if begun.course is not None:
        strategy.go_on_from(begun.course, first)
    config = ConfigRecord(
        {
            "task-digest": identity.task,
            "strategy-digest": identity.strategy,
            "rounds": rounds,
            "seed": run.seed,
            "tested": "validation" if run.folds else "test",
        }
    )
    try:
        strategy.start(grid, first, num_rounds=rounds, train_config=config)
    except BaseException:  # whatever ends it, the last good model stays if the disk takes it
        with contextlib.suppress(OSError):
            _write_models(run, strategy, task, model, own)
        raise
    models = _write_models(run, strategy, task, model, own)
    result = {
        "strategy": {"name": recipe.name, "digest": identity.strategy},
        "seed": run.seed,
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "rounds": [record.as_dict() for record in strategy.rounds],
        "models": models,
    }
    with replacing(run.server / "run.json") as partial:
        partial.write_text(json.dumps(result, indent=2, allow_nan=False), encoding="utf-8")
    checkpoints.clear()


def _context(run: RunConfig, recipe: StrategyRecipe) -> ServerContext:
    if recipe.protection.scheme == "none":
        return NO_KEY
    if not run.context:
        raise ProtectionError(
            f"strategy {recipe.name} encrypts and the server has no context: make one at a "
            "hospital with ucadi keys create, and name it in the run-config as context"
        )
    context = ServerContext.load(Path(run.context))
    if context.scheme != recipe.protection.scheme:
        raise ProtectionError(
            f"{run.context} is for {context.scheme}; strategy {recipe.name} needs "
            f"{recipe.protection.scheme}"
        )
    return context


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


def _write_models(
    run: RunConfig, strategy: UcadiStrategy, task: TaskRecipe, model: nn.Module, own: Arrays
) -> list[dict[str, Any]]:
    """Without encryption the server opens the sums as a site does; else it keeps them closed.

    ``own`` are the initial values of the tensors that never left the sites.
    """
    folder, agreement = run.server, strategy.agreement
    if strategy.recipe.protection.scheme != "none":
        for history in strategy.models.histories.values():
            first = array_values(history.initial) if history.whole else {}
            sums, others = history.newest, strategy.sealed
            write_sealed(folder, agreement, task, first, sums, others, run.seed)
        return []
    end = make_site(None, "server", strategy.recipe.min_sites)
    trainable = [name for name in trainable_names(model) if name not in own]
    positive = task.classes.index(task.positive_class)
    written = []
    for trained_at, history in sorted(strategy.models.histories.items()):
        if not history.sums:
            continue
        start = GlobalModel(0, array_values(history.initial)) if history.whole else None
        found = replay_rounds(start, history.newest, agreement, end, trainable, trained_at)
        tests = strategy.tests.get(trained_at, {})
        figures = {site: from_counts(tests[site], positive).as_dict() for site in sorted(tests)}
        state = merge(found.state, own, read_state(model))
        written.append({**save_model(folder, trained_at, state, task, own), "test": figures})
    return written
