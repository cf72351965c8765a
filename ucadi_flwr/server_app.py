"""Recipes → strategy → rounds → what came of them on disk.

A server that encrypts writes sums that it cannot open (:mod:`exchange.sealed_run`); one that does
not writes the models.
"""

import contextlib
import json
from pathlib import Path
from typing import Any

from flwr.app import ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from torch import nn

from ucadi_flwr.aggregation.optimizers import Arrays
from ucadi_flwr.data.phantom.site import write_phantom
from ucadi_flwr.errors import DataError, ProtectionError, UcadiError
from ucadi_flwr.evaluation.metrics import from_counts
from ucadi_flwr.exchange.agreement import Agreement
from ucadi_flwr.exchange.global_model import GlobalModel, has_memory, replay_rounds
from ucadi_flwr.exchange.initial_model import initial_arrays
from ucadi_flwr.exchange.sealed_run import write_sealed
from ucadi_flwr.exchange.terms import RunTerms
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
from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.recipes.run_config import RunConfig, ServerSettings, number_of_rounds
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe
from ucadi_flwr.results.journal import Journal
from ucadi_flwr.results.layout import ExperimentFolder, RunFolder, ServerFolder
from ucadi_flwr.server.checkpoints import Checkpoints, RunIdentity, digest_of_arrays
from ucadi_flwr.server.round_loop import play_rounds
from ucadi_flwr.server.strategy import UcadiStrategy
from ucadi_flwr.training.freezing import select_trainable

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run one task × strategy × seed; an error ends the run and stands in its journal."""
    config = RunConfig.read(context.run_config)
    folder = RunFolder(Path(config.server.out) / config.server.name).server
    journal = Journal(folder.journal)
    try:
        with held(folder.path, "wait until it ends, or stop it"):
            run(grid, config, folder, journal)
    except (UcadiError, OSError) as error:
        with contextlib.suppress(OSError):  # the disk may be full
            journal.stopped(str(error))
        raise


def run(grid: Grid, config: RunConfig, folder: ServerFolder, journal: Journal) -> None:
    """Run the rounds and write what came of them into the server's folder of the run."""
    task = loader.load(TaskRecipe, config.run.task)
    recipe = loader.load(StrategyRecipe, config.run.strategy)
    rounds = config.run.rounds or number_of_rounds(task, recipe)
    context = _context(config.server, recipe)
    _require_images(config, task)
    model = make_model(task, config.run.seed)
    if recipe.personalisation is not None:
        select_trainable(
            model, recipe.personalisation.fine_tune
        )  # now, and not after the last round
    file = Path(config.server.initial) if config.server.initial else None
    initial, local, notes = initial_arrays(file, model, task, recipe, context)
    epochs = rounds * recipe.local_epochs
    if not config.run.rounds and epochs != task.training.epochs:
        notes.append(
            f"{rounds} rounds of {recipe.local_epochs} local epochs are {epochs} epochs; the task "
            f"has {task.training.epochs}"
        )
    for note in notes:
        journal.log(note)
    identity = RunIdentity(
        task=loader.digest(task),
        strategy=loader.digest(recipe),
        initial=digest_of_arrays((name, array.tobytes()) for name, array in initial.items()),
        key_id=context.key_id.hex(),
        seed=config.run.seed,
        rounds=rounds,
    )
    checkpoints = Checkpoints(folder.checkpoints, identity, has_memory(recipe))
    start = checkpoints.resume() if config.server.resume else checkpoints.start()
    if start.state is not None:
        journal.resumed(start.state.rounds[-1].round)
    shapes = {n: v.shape for n, v in read_state(model).items() if n not in local}
    strategy = UcadiStrategy(
        Agreement(recipe, start.run, shapes, len(task.classes)),
        context,
        RunTerms(
            task_digest=identity.task,
            strategy_digest=identity.strategy,
            run=start.run,
            rounds=rounds,
            seed=config.run.seed,
            tested="validation" if config.simulation and config.simulation.folds else "test",
        ),
        journal,
        expected_sites=config.server.nodes,
        state=start.state,
        starts=start.starts,
        save=checkpoints.save,
        bandwidth=config.server.bandwidth,
    )
    first = array_record(initial)
    del initial  # a large model is in memory once here
    try:
        play_rounds(strategy, grid, first, rounds)
    except BaseException:  # whatever ends it, the last good model stays if the disk takes it
        with contextlib.suppress(OSError):
            _write_models(folder, strategy, task, model, first, local)
        raise
    models = _write_models(folder, strategy, task, model, first, local)
    result = {
        "strategy": {"name": recipe.name, "digest": identity.strategy},
        "seed": config.run.seed,
        "parameters": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "rounds": [record.as_dict() for record in strategy.state.rounds],
        "models": models,
    }
    with replacing(folder.result) as partial:
        partial.write_text(json.dumps(result, indent=2, allow_nan=False), encoding="utf-8")
    checkpoints.clear()


def _context(server: ServerSettings, recipe: StrategyRecipe) -> ServerContext:
    if recipe.protection.scheme == "none":
        return NO_KEY
    if not server.context:
        raise ProtectionError(
            f"strategy {recipe.name} encrypts and the server has no context: make one at a "
            "hospital with ucadi keys create, and name it in the run-config as context"
        )
    context = ServerContext.load(Path(server.context))
    if context.scheme != recipe.protection.scheme:
        raise ProtectionError(
            f"{server.context} is for {context.scheme}; strategy {recipe.name} needs "
            f"{recipe.protection.scheme}"
        )
    return context


def _require_images(config: RunConfig, task: TaskRecipe) -> None:
    """In a simulation without data, make the task's phantom, unless it is there."""
    simulation, folder = config.simulation, ExperimentFolder(Path(config.server.out)).phantom
    if simulation is None or simulation.data or folder.is_dir():
        return
    if task.phantom is None:
        raise DataError(f"task {task.name} has no phantom; set data to a folder of images")
    phantom = task.phantom
    write_phantom(
        folder,
        sites=simulation.sites or phantom.sites,
        cases_per_site=phantom.cases_per_site,
        seed=phantom.seed,
        shape=phantom.size,
    )


def _write_models(
    folder: ServerFolder,
    strategy: UcadiStrategy,
    task: TaskRecipe,
    model: nn.Module,
    first: ArrayRecord,
    local: Arrays,
) -> list[dict[str, Any]]:
    """Without encryption the server opens the sums as a site does; else it keeps them closed.

    ``first`` is the model that all started from, ``local`` the initial values of the tensors that
    never left the sites.
    """
    agreement, state = strategy.agreement, strategy.state
    initial = array_values(first) if state.keep_all else {}
    if strategy.recipe.protection.scheme != "none":
        if sums := state.newest(ALL_SITES):
            seed = strategy.terms.seed
            write_sealed(folder.sealed, agreement, task, initial, sums, state.others, seed)
        return []
    end = make_site(None, "server", strategy.recipe.min_sites)
    trainable = [name for name in trainable_names(model) if name not in local]
    positive = task.classes.index(task.positive_class)
    written = []
    for trained_at in sorted(state.models):
        start = GlobalModel(0, initial) if initial else None
        sums = state.newest(trained_at)
        opened = replay_rounds(start, sums, agreement, end, trainable, trained_at)
        tests = strategy.tests.get(trained_at, {})
        measures = {site: from_counts(tests[site], positive).as_dict() for site in sorted(tests)}
        whole = merge(opened.state, local, read_state(model))
        written.append(
            {**save_model(folder.path, trained_at, whole, task, local), "test": measures}
        )
    return written
