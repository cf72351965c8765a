"""One cell of an experiment on Flower's engine, and what came of it.

The experiment makes the sites' key, so it may open the result of an encrypted cell: it does, for
the report. The server's folder holds nothing that the server could read.
"""

import json
import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ucadi_flwr.errors import FederationError, UcadiError
from ucadi_flwr.evaluation.metrics import from_predictions
from ucadi_flwr.exchange.initial_model import sealed_initial_model
from ucadi_flwr.exchange.sealed_run import FILE, open_sealed
from ucadi_flwr.files.atomic import replacing
from ucadi_flwr.models.files import save_model
from ucadi_flwr.processes.progress import Progress
from ucadi_flwr.protection.keys import SiteKey
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.recipes.run_config import RunConfig
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe
from ucadi_flwr.results.experiment import Cell, RecipeRef
from ucadi_flwr.results.predictions import read_predictions
from ucadi_flwr.simulation.engine import Engine, Resources
from ucadi_flwr.simulation.experiment import Plan, Run


def run_cell(
    engine: Engine, plan: Plan, run: Run, data: Path, nodes: int, progress: Progress
) -> Cell:
    """Run it; a cell that fails has an ``error``."""
    strategy = run.strategy
    folder = plan.out.resolve() / run.name
    if not (plan.resume and (folder / "server" / "checkpoints").is_dir()):
        shutil.rmtree(folder, ignore_errors=True)
    key = _make_key(folder / "sites", strategy)
    config = _run_config(plan, run, data, nodes, key, _initial(plan, run, key, folder / "sites"))
    config.server.mkdir(parents=True, exist_ok=True)
    log = config.cell / "flower.log"
    begin = time.perf_counter()
    with progress.cell(run.title, config.server / "journal.jsonl") as watch:
        engine.run(config, nodes, _resources(strategy, nodes), log, watch.poll)
    cell: dict[str, Any] = {
        "strategy": RecipeRef(name=strategy.name, digest=loader.digest(strategy)),
        "seed": run.seed,
        "seconds": time.perf_counter() - begin,
    }
    reason = watch.stopped or f"Flower ended without a result; see {log}"
    if (config.server / "run.json").is_file():
        try:
            found = Cell.model_validate(cell | _result(plan, config, strategy, key))
            if key is not None:
                key.site.unlink()
            return found
        except UcadiError as error:
            reason = str(error)
    return Cell(**cell, parameters=0, rounds=[], models=[], error=reason)


@dataclass(frozen=True)
class _Key:
    site: Path
    server: Path

    def load(self) -> SiteKey:
        return SiteKey.load(self.site)


def _make_key(sites: Path, strategy: StrategyRecipe) -> _Key | None:
    """A new key for every cell, beside what its sites keep; it goes when the cell is done."""
    if strategy.protection.scheme == "none":
        return None
    files = _Key(sites / "encryption.key", sites / "server.context")
    if not files.site.exists():
        sites.mkdir(mode=0o700, parents=True, exist_ok=True)
        files.server.unlink(missing_ok=True)
        key = SiteKey.create(strategy.protection.scheme)
        key.context.save(files.server)
        key.save(files.site)
    return files


def _initial(plan: Plan, run: Run, key: _Key | None, sites: Path) -> str:
    """The file that the server begins with, sealed by the experiment if the run is encrypted."""
    if plan.initial is None or key is None:
        return str(plan.initial.resolve()) if plan.initial else ""
    path = sites / "initial.sealed"
    if not path.exists():  # a run that goes on has begun with the same bytes
        blob = sealed_initial_model(plan.initial, plan.task, run.strategy, run.seed, key.load())
        with replacing(path) as partial:
            partial.write_bytes(blob)
    return str(path)


def _run_config(
    plan: Plan, run: Run, data: Path, nodes: int, key: _Key | None, initial: str
) -> RunConfig:
    strategy = run.strategy
    return RunConfig(
        task=str(plan.recipe_file("task")),
        strategy=str(plan.recipe_file(f"strategy-{strategy.name}")),
        data=str(data.resolve()),
        sites=(plan.sites or 0) if plan.data else 0,
        holdout=",".join(plan.hold_out),
        folds=plan.folds,
        fold=run.fold,
        nodes=nodes,
        rounds=plan.rounds_of(strategy),
        seed=run.seed,
        initial=initial,
        out=str(plan.out.resolve()),
        name=run.name,
        threads=_resources(strategy, nodes).cpus,
        context=str(key.server) if key else "",
        key=str(key.site) if key else "",
        resume=plan.resume,
        bandwidth=plan.bandwidth,
    )


def _resources(strategy: StrategyRecipe, nodes: int) -> Resources:
    return Resources.share(1 if strategy.cohort == "pooled" else nodes)


def _result(
    plan: Plan, config: RunConfig, strategy: StrategyRecipe, key: _Key | None
) -> dict[str, Any]:
    """What the server wrote, opened with the key if it is sealed, with exact test figures."""
    found = json.loads((config.server / "run.json").read_text(encoding="utf-8"))
    folder = f"{config.name}/server"
    if key is not None:
        opened = open_sealed(config.server / FILE, plan.task, strategy, key.load())
        found["models"] = [
            save_model(config.cell, ALL_SITES, opened.state, plan.task, opened.local)
        ]
        for record in found["rounds"]:
            record["loss"] = opened.losses.get(record["round"], record["loss"])
        folder = config.name
    for model in found["models"]:
        model["file"] = f"{folder}/{model['file']}"
        model["test"] = exact_figures(plan.task, config.cell / "predictions" / model["trained_at"])
        if not model["test"]:
            failures = found["rounds"][-1]["failures"]
            why = failures[-1]["reason"] if failures else f"see {config.cell / 'flower.log'}"
            raise FederationError(f"no site could test {model['file']}: {why}")
    return {k: found[k] for k in ("parameters", "rounds", "models")}


def exact_figures(task: TaskRecipe, folder: Path) -> dict[str, dict[str, Any]]:
    """Exact figures by site, from the predictions that a simulation's sites keep on this disk."""
    positive = task.classes.index(task.positive_class)
    figures = {}
    for path in sorted(folder.glob("*.csv")):
        read = read_predictions(path, task.classes)
        figures[path.stem] = from_predictions(read.probabilities, read.labels, positive).as_dict()
    return figures
