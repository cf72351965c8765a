"""A grid of experiments on one machine: every strategy × seed is one cell on Flower's engine."""

import json
import os
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ucadi_flwr.data.dataset import CachedCases, cached_set
from ucadi_flwr.data.partition import PARTS
from ucadi_flwr.data.phantom.site import write_phantom
from ucadi_flwr.data.sites import Site, open_sites
from ucadi_flwr.engine import Engine, Resources
from ucadi_flwr.environment import describe_environment
from ucadi_flwr.errors import DataError, RecipeError, UcadiError
from ucadi_flwr.evaluation.metrics import from_predictions
from ucadi_flwr.evaluation.predictions import read_predictions
from ucadi_flwr.progress import Progress
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe
from ucadi_flwr.report.page import write_report
from ucadi_flwr.report.results import (
    Cell,
    RecipeRef,
    Results,
    SiteData,
    TaskRef,
    read_results,
    write_results,
)
from ucadi_flwr.run_config import RunConfig
from ucadi_flwr.server_app import number_of_rounds


@dataclass(frozen=True)
class Plan:
    """An experiment that was checked and can start."""

    task: TaskRecipe
    strategies: tuple[StrategyRecipe, ...]
    seeds: tuple[int, ...]
    data: Path | None
    sites: int | None
    rounds: int | None
    out: Path
    command: str

    def rounds_of(self, strategy: StrategyRecipe) -> int:
        """Rounds of one cell."""
        return self.rounds or number_of_rounds(self.task, strategy)


def make_plan(
    task: str,
    strategies: Sequence[str],
    *,
    seeds: Sequence[int],
    out: Path,
    data: Path | None = None,
    sites: int | None = None,
    rounds: int | None = None,
    local_epochs: int | None = None,
    settings: Mapping[str, Any] | None = None,
    command: str = "",
) -> Plan:
    """Load and check everything that can be checked without touching the disk.

    ``settings`` maps dotted recipe keys to values, for the task or for every strategy, whichever
    has the key. Raises :class:`RecipeError` or :class:`DataError`.
    """
    for name, value in (("--rounds", rounds), ("--local-epochs", local_epochs), ("--sites", sites)):
        if value is not None and value < 1:
            raise RecipeError(f"{name} {value}: must be at least 1")
    for what, values in (("--strategy", strategies), ("--seeds", seeds)):
        if twice := [value for value, n in Counter(values).items() if n > 1]:
            raise RecipeError(f"{what}: {twice[0]} stands there twice")
    if negative := [seed for seed in seeds if seed < 0]:
        raise RecipeError(f"--seeds {negative[0]}: a seed is 0 or more")
    of_task, of_strategy = _assign(settings or {})
    if local_epochs is not None:
        of_strategy["local-epochs"] = local_epochs
    if (out / "results.json").exists():
        raise DataError(f"{out}: holds results already; choose another --out")
    loaded = loader.load(TaskRecipe, task, of_task)
    if data is None and loaded.phantom is None:
        raise DataError(f"task {loaded.name} has no built-in phantom: name its images with --data")
    recipes = tuple(loader.load(StrategyRecipe, name, of_strategy) for name in strategies)
    if twice := [name for name, n in Counter(r.name for r in recipes).items() if n > 1]:
        raise RecipeError(f"--strategy: two recipes are named {twice[0]}; rename one")
    plan = Plan(loaded, recipes, tuple(seeds), data, sites, rounds, out, command)
    if loaded.phantom is not None and data is None:
        _check_quorum(plan, sites or loaded.phantom.sites)
    return plan


def run(plan: Plan) -> Path:
    """Run every cell and write results.json and report.html; the report's path.

    A cell that fails is reported and does not stop the others; if all fail, the first one's
    error is raised after the report is written.
    """
    if plan.data is not None:
        _open(plan, plan.data)
    cells: list[Cell] = []
    with Progress() as progress:
        with _removed_on_error(plan.out):
            data = plan.data or _make_phantom(plan, progress)
            sites = _open(plan, data)
            _read_images(plan, sites, progress)
        progress.plan({(s.name, seed): plan.rounds_of(s) for s, seed in _grid(plan)})
        _write_recipes(plan)
        with _deleted_at_the_end(plan.out / "cache"), Engine() as engine:
            for strategy, seed in _grid(plan):
                config = _run_config(plan, strategy, seed, data, len(sites))
                cells.append(_run_cell(engine, plan, config, sites, progress))
                write_results(plan.out / "results.json", _results(plan, sites, cells))
    report = plan.out / "report.html"
    write_report(read_results(plan.out / "results.json"), report)
    errors = [cell.error for cell in cells if cell.error]
    if len(errors) == len(cells):
        raise UcadiError(f"every run failed, the first with: {errors[0]} (report: {report})")
    return report


def _grid(plan: Plan) -> list[tuple[StrategyRecipe, int]]:
    return [(strategy, seed) for strategy in plan.strategies for seed in plan.seeds]


def _assign(settings: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Each dotted key to the kind of recipe that has its first word."""
    of_task, of_strategy = {}, {}
    for key, value in settings.items():
        if loader.has_key(TaskRecipe, key):
            of_task[key] = value
        elif loader.has_key(StrategyRecipe, key):
            of_strategy[key] = value
        else:
            raise RecipeError(f"--set {key}: no task or strategy recipe has this key")
    return of_task, of_strategy


def _open(plan: Plan, data: Path) -> dict[str, Site]:
    sites = open_sites(data, plan.task, plan.sites if plan.data else None)
    _check_quorum(plan, len(sites))
    return sites


def _check_quorum(plan: Plan, sites: int) -> None:
    for strategy in plan.strategies:
        if strategy.min_sites > sites:
            raise RecipeError(
                f"strategy {strategy.name} needs min-sites: {strategy.min_sites} and there are "
                f"{sites}; divide a folder with --sites, or add sites"
            )


def _make_phantom(plan: Plan, progress: Progress) -> Path:
    phantom = plan.task.phantom
    if phantom is None:
        raise DataError(f"task {plan.task.name} has no built-in phantom; name images with --data")
    count = plan.sites or phantom.sites
    root = plan.out / "phantom"
    with progress.step("making the phantom", count * phantom.cases_per_site) as advance:
        write_phantom(
            root,
            sites=count,
            cases_per_site=phantom.cases_per_site,
            seed=phantom.seed,
            shape=phantom.size,
            on_case=advance,
        )
    return root


@contextmanager
def _removed_on_error(out: Path) -> Iterator[None]:
    """Make the folder; if what follows fails, nothing of it stays."""
    fresh = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        if fresh:
            shutil.rmtree(out)
        raise


@contextmanager
def _deleted_at_the_end(folder: Path) -> Iterator[None]:
    """However it ends: the cache holds patients' images."""
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _read_images(plan: Plan, sites: Mapping[str, Site], progress: Progress) -> None:
    """Read every image once, into the cache, so that a broken one is told before training."""
    sets = [cached_set(site, plan.task, plan.out / "cache") for site in sites.values()]

    def read(dataset: CachedCases, i: int) -> None:
        dataset[i]

    with (
        progress.step("reading the images", sum(map(len, sets))) as advance,
        ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool,
    ):
        jobs = [pool.submit(read, dataset, i) for dataset in sets for i in range(len(dataset))]
        try:
            for job in as_completed(jobs):
                job.result()
                advance()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _recipe_file(plan: Plan, name: str) -> Path:
    return plan.out.resolve() / "recipes" / f"{name}.yaml"


def _write_recipes(plan: Plan) -> None:
    """The recipes as they were run, overrides included: what the sites load, and a record."""
    (plan.out / "recipes").mkdir(exist_ok=True)
    _recipe_file(plan, "task").write_text(loader.dump(plan.task), encoding="utf-8")
    for strategy in plan.strategies:
        path = _recipe_file(plan, f"strategy-{strategy.name}")
        path.write_text(loader.dump(strategy), encoding="utf-8")


def _run_config(
    plan: Plan, strategy: StrategyRecipe, seed: int, data: Path, nodes: int
) -> RunConfig:
    return RunConfig(
        task=str(_recipe_file(plan, "task")),
        strategy=str(_recipe_file(plan, f"strategy-{strategy.name}")),
        data=str(data.resolve()),
        sites=(plan.sites or 0) if plan.data else 0,
        nodes=nodes,
        rounds=plan.rounds_of(strategy),
        seed=seed,
        out=str(plan.out.resolve()),
        name=f"{strategy.name}/seed{seed}",
        threads=_resources(strategy, nodes).cpus,
    )


def _resources(strategy: StrategyRecipe, nodes: int) -> Resources:
    return Resources.share(1 if strategy.cohort == "pooled" else nodes)


def _run_cell(
    engine: Engine,
    plan: Plan,
    config: RunConfig,
    sites: Mapping[str, Site],
    progress: Progress,
) -> Cell:
    strategy = next(s for s in plan.strategies if config.name == f"{s.name}/seed{config.seed}")
    config.cell.mkdir(parents=True, exist_ok=True)
    log = config.cell / "flower.log"
    begin = time.perf_counter()
    with progress.cell(strategy.name, config.seed, config.cell / "journal.jsonl") as watch:
        engine.run(config, len(sites), _resources(strategy, len(sites)), log, watch.poll)
    cell: dict[str, Any] = {
        "strategy": RecipeRef(name=strategy.name, digest=loader.digest(strategy)),
        "seed": config.seed,
        "seconds": time.perf_counter() - begin,
    }
    if not (config.cell / "run.json").is_file():
        reason = watch.stopped or f"Flower ended without a result; see {log}"
        return Cell(**cell, parameters=0, rounds=[], models=[], error=reason)
    found = json.loads((config.cell / "run.json").read_text(encoding="utf-8"))
    for model in found["models"]:
        model["file"] = f"{config.name}/{model['file']}"
        model["test"] = _exact(plan.task, config.cell / "predictions" / model["trained_at"])
    return Cell.model_validate(cell | {k: found[k] for k in ("parameters", "rounds", "models")})


def _exact(task: TaskRecipe, folder: Path) -> dict[str, dict[str, Any]]:
    """Exact figures by site, from the predictions that a simulation's sites keep on this disk."""
    positive = task.classes.index(task.positive_class)
    figures = {}
    for path in sorted(folder.glob("*.csv")):
        probabilities, labels = read_predictions(path, task.classes)
        figures[path.stem] = from_predictions(probabilities, labels, positive).as_dict()
    return figures


def _results(plan: Plan, sites: Mapping[str, Site], cells: Sequence[Cell]) -> Results:
    task = plan.task
    return Results(
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        command=plan.command,
        task=TaskRef(
            name=task.name,
            digest=loader.digest(task),
            summary=task.summary,
            classes=list(task.classes),
            positive_class=task.positive_class,
            phantom=plan.data is None,
        ),
        sites={
            name: SiteData.model_validate(
                {part: dict(Counter(task.classes[i] for i in site.labels(part))) for part in PARTS}
            )
            for name, site in sites.items()
        },
        environment=describe_environment(),
        cells=list(cells),
    )
