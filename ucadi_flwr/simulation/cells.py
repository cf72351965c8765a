"""One run of an experiment on Flower's engine, and its result as a cell of ``results.json``.

The experiment makes the sites' key, so it can open the result of an encrypted run, and does so for
the report. The server's folder holds nothing that the server could decrypt.
"""

import json
import shutil
import time
from pathlib import Path
from typing import Any

from ucadi_flwr.errors import FederationError, UcadiError
from ucadi_flwr.evaluation.metrics import TestMeasures, from_predictions
from ucadi_flwr.exchange.initial_model import sealed_initial_model
from ucadi_flwr.exchange.sealed_run import open_sealed
from ucadi_flwr.files.atomic import replacing
from ucadi_flwr.models.files import save_model
from ucadi_flwr.processes.progress import ProgressDisplay
from ucadi_flwr.protection.keys import NO_KEY, SiteKey
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.recipes.run_config import RunConfig, RunSettings, ServerSettings, SimulationSettings
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe
from ucadi_flwr.results.experiment import Cell, RecipeRef
from ucadi_flwr.results.layout import RunFolder, SitesFolder
from ucadi_flwr.results.predictions import read_predictions
from ucadi_flwr.simulation.engine import Engine, Resources
from ucadi_flwr.simulation.plan import ExperimentPlan, Run


def run_cell(
    engine: Engine,
    plan: ExperimentPlan,
    run: Run,
    data: Path,
    nodes: int,
    display: ProgressDisplay,
) -> Cell:
    """Execute a run, and read its result.

    Args:
        engine: Flower's engine, which is running.
        plan: the experiment.
        run: the strategy, the seed and the fold.
        data: folder of the images.
        nodes: number of sites, with those that never train.
        display: shows the run's progress.

    A run that fails raises nothing: its cell has an ``error``.
    """
    strategy, folder = run.strategy, plan.run_folder(run)
    if not (plan.resume and folder.server.checkpoints.is_dir()):
        shutil.rmtree(folder.path, ignore_errors=True)
    key = _make_key(folder.sites, strategy)
    config = _run_config(plan, run, data, nodes, key)
    folder.server.path.mkdir(parents=True, exist_ok=True)
    begin = time.perf_counter()
    with display.follow(run.title, folder.server.journal) as watch:
        engine.run(config, nodes, _resources(strategy, nodes), folder.log, watch.poll)
    cell: dict[str, Any] = {
        "strategy": RecipeRef(name=strategy.name, digest=loader.digest(strategy)),
        "seed": run.seed,
        "seconds": time.perf_counter() - begin,
    }
    reason = watch.stopped or f"Flower ended without a result; see {folder.log}"
    if folder.server.finished:
        try:
            complete = Cell.model_validate(cell | _result(plan, run, key))
            folder.sites.key.unlink(missing_ok=True)
            return complete
        except UcadiError as error:
            reason = str(error)
    return Cell(**cell, parameters=0, rounds=[], models=[], error=reason)


def exact_measures(task: TaskRecipe, folder: RunFolder, trained_at: str) -> dict[str, TestMeasures]:
    """Site → exact measures of one model, from the predictions that simulated sites keep.

    Args:
        task: the task, whose positive class the AUC is of.
        folder: the run.
        trained_at: the model: ``all``, or the one site that trained it.
    """
    positive = task.classes.index(task.positive_class)
    measures = {}
    for path in folder.all_predictions_of(trained_at):
        predictions = read_predictions(path, task.classes)
        measures[path.stem] = from_predictions(
            predictions.probabilities, predictions.labels, positive
        )
    return measures


def _make_key(sites: SitesFolder, strategy: StrategyRecipe) -> SiteKey | None:
    """A new key for every run, in the sites' folder; it is deleted when the run is complete."""
    if strategy.protection.scheme == NO_KEY.scheme:
        return None
    if not sites.key.exists():
        sites.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        sites.context.unlink(missing_ok=True)
        key = SiteKey.create(strategy.protection.scheme)
        key.context.save(sites.context)
        key.save(sites.key)
    return SiteKey.load(sites.key)


def _initial_model(plan: ExperimentPlan, run: Run, key: SiteKey | None) -> str:
    """The file of the server's initial model; sealed by the experiment for an encrypted run."""
    if plan.initial is None or key is None:
        return str(plan.initial.resolve()) if plan.initial else ""
    path = plan.run_folder(run).sites.initial
    if not path.exists():  # a resumed run needs the same bytes as before
        blob = sealed_initial_model(plan.initial, plan.task, run.strategy, run.seed, key)
        with replacing(path) as partial:
            partial.write_bytes(blob)
    return str(path)


def _run_config(
    plan: ExperimentPlan, run: Run, data: Path, nodes: int, key: SiteKey | None
) -> RunConfig:
    strategy, sites = run.strategy, plan.run_folder(run).sites
    return RunConfig(
        RunSettings(
            task=str(plan.folder.task),
            strategy=str(plan.folder.strategy(strategy.name)),
            rounds=plan.rounds_of(strategy),
            seed=run.seed,
        ),
        ServerSettings(
            out=str(plan.folder.path),
            name=run.name,
            nodes=nodes,
            context=str(sites.context) if key else "",
            initial=_initial_model(plan, run, key),
            resume=plan.resume,
            bandwidth=plan.bandwidth,
        ),
        SimulationSettings(
            data=str(data.resolve()),
            sites=(plan.sites or 0) if plan.data else 0,
            holdout=",".join(plan.hold_out),
            folds=plan.folds,
            fold=run.fold,
            threads=_resources(strategy, nodes).cpus,
            key=str(sites.key) if key else "",
        ),
    )


def _resources(strategy: StrategyRecipe, nodes: int) -> Resources:
    return Resources.share(1 if strategy.cohort == "pooled" else nodes)


def _result(plan: ExperimentPlan, run: Run, key: SiteKey | None) -> dict[str, Any]:
    """The server's result, opened with the key if it is sealed, with exact measures of the test."""
    folder = plan.run_folder(run)
    server, location = folder.server, f"{run.name}/{folder.server.path.name}"
    result = json.loads(server.result.read_text(encoding="utf-8"))
    if key is not None:
        opened = open_sealed(server.sealed, plan.task, run.strategy, key)
        model = save_model(folder.path, ALL_SITES, opened.state, plan.task, opened.local)
        result["models"], location = [model], run.name
        for record in result["rounds"]:
            record["loss"] = opened.losses.get(record["round"], record["loss"])
    for model in result["models"]:
        model["file"] = f"{location}/{model['file']}"
        model["test"] = exact_measures(plan.task, folder, model["trained_at"])
        if not model["test"]:
            failures = result["rounds"][-1]["failures"]
            why = failures[-1]["reason"] if failures else f"see {folder.log}"
            raise FederationError(f"no site could test {model['file']}: {why}")
    return {name: result[name] for name in ("parameters", "rounds", "models")}
