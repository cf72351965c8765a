"""One cell of an experiment on Flower's engine, and what came of it.

The experiment makes the sites' key, so it may open the result of an encrypted cell: it does, for
the report. The server's folder holds nothing that the server could read.
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
from ucadi_flwr.processes.progress import Progress
from ucadi_flwr.protection.keys import SiteKey
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.recipes.run_config import RunConfig, RunSettings, ServerSettings, SimulationSettings
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe
from ucadi_flwr.results.experiment import Cell, RecipeRef
from ucadi_flwr.results.layout import RunFolder, SitesFolder
from ucadi_flwr.results.predictions import read_predictions
from ucadi_flwr.simulation.engine import Engine, Resources
from ucadi_flwr.simulation.experiment import Plan, Run


def run_cell(
    engine: Engine, plan: Plan, run: Run, data: Path, nodes: int, progress: Progress
) -> Cell:
    """Run it; a cell that fails has an ``error``."""
    strategy, folder = run.strategy, plan.run_folder(run)
    if not (plan.resume and folder.server.checkpoints.is_dir()):
        shutil.rmtree(folder.path, ignore_errors=True)
    key = _make_key(folder.sites, strategy)
    config = _run_config(plan, run, data, nodes, key)
    folder.server.path.mkdir(parents=True, exist_ok=True)
    begin = time.perf_counter()
    with progress.cell(run.title, folder.server.journal) as watch:
        engine.run(config, nodes, _resources(strategy, nodes), folder.log, watch.poll)
    cell: dict[str, Any] = {
        "strategy": RecipeRef(name=strategy.name, digest=loader.digest(strategy)),
        "seed": run.seed,
        "seconds": time.perf_counter() - begin,
    }
    reason = watch.stopped or f"Flower ended without a result; see {folder.log}"
    if folder.server.finished:
        try:
            whole = Cell.model_validate(cell | _result(plan, run, key))
            folder.sites.key.unlink(missing_ok=True)
            return whole
        except UcadiError as error:
            reason = str(error)
    return Cell(**cell, parameters=0, rounds=[], models=[], error=reason)


def _make_key(sites: SitesFolder, strategy: StrategyRecipe) -> SiteKey | None:
    """A new key for every cell, beside what its sites keep; it goes when the cell is done."""
    if strategy.protection.scheme == "none":
        return None
    if not sites.key.exists():
        sites.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        sites.context.unlink(missing_ok=True)
        key = SiteKey.create(strategy.protection.scheme)
        key.context.save(sites.context)
        key.save(sites.key)
    return SiteKey.load(sites.key)


def _initial(plan: Plan, run: Run, key: SiteKey | None) -> str:
    """The file that the server begins with, sealed by the experiment if the run is encrypted."""
    if plan.initial is None or key is None:
        return str(plan.initial.resolve()) if plan.initial else ""
    path = plan.run_folder(run).sites.initial
    if not path.exists():  # a run that is resumed has begun with the same bytes
        blob = sealed_initial_model(plan.initial, plan.task, run.strategy, run.seed, key)
        with replacing(path) as partial:
            partial.write_bytes(blob)
    return str(path)


def _run_config(plan: Plan, run: Run, data: Path, nodes: int, key: SiteKey | None) -> RunConfig:
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
            initial=_initial(plan, run, key),
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


def _result(plan: Plan, run: Run, key: SiteKey | None) -> dict[str, Any]:
    """What the server wrote, opened with the key if it is sealed, with exact test measures."""
    folder = plan.run_folder(run)
    server, place = folder.server, f"{run.name}/{folder.server.path.name}"
    result = json.loads(server.result.read_text(encoding="utf-8"))
    if key is not None:
        opened = open_sealed(server.sealed, plan.task, run.strategy, key)
        model = save_model(folder.path, ALL_SITES, opened.state, plan.task, opened.local)
        result["models"], place = [model], run.name
        for record in result["rounds"]:
            record["loss"] = opened.losses.get(record["round"], record["loss"])
    for model in result["models"]:
        model["file"] = f"{place}/{model['file']}"
        model["test"] = exact_measures(plan.task, folder, model["trained_at"])
        if not model["test"]:
            failures = result["rounds"][-1]["failures"]
            why = failures[-1]["reason"] if failures else f"see {folder.log}"
            raise FederationError(f"no site could test {model['file']}: {why}")
    return {name: result[name] for name in ("parameters", "rounds", "models")}


def exact_measures(task: TaskRecipe, folder: RunFolder, trained_at: str) -> dict[str, TestMeasures]:
    """Exact measures by site, from the predictions that a simulation's sites keep on this disk."""
    positive = task.classes.index(task.positive_class)
    measures = {}
    for path in folder.all_predictions_of(trained_at):
        read = read_predictions(path, task.classes)
        measures[path.stem] = from_predictions(read.probabilities, read.labels, positive)
    return measures
