"""The grid of an experiment: every strategy × seed is one cell, run on Flower's engine."""

import os
import shutil
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from ucadi_flwr.data.dataset import CachedCases, cached_set
from ucadi_flwr.data.manifest import PARTS
from ucadi_flwr.data.phantom.site import write_phantom
from ucadi_flwr.data.sites import Site, open_sites
from ucadi_flwr.errors import DataError, UcadiError
from ucadi_flwr.files.atomic import replacing
from ucadi_flwr.processes.progress import ProgressDisplay
from ucadi_flwr.recipes import loader
from ucadi_flwr.report.publish import publish
from ucadi_flwr.results.experiment import (
    Cell,
    Results,
    SiteData,
    TaskRef,
    read_results,
    write_results,
)
from ucadi_flwr.results.readers import read_readers
from ucadi_flwr.simulation import folds, resume
from ucadi_flwr.simulation.cells import run_cell
from ucadi_flwr.simulation.engine import Engine
from ucadi_flwr.simulation.environment import describe_environment
from ucadi_flwr.simulation.plan import ExperimentPlan


def run_experiment(plan: ExperimentPlan) -> Path:
    """Run every cell of a plan, and write ``results.json`` and the report; the report's path.

    A cell that fails is reported and does not stop the others. Raises :class:`DataError` or
    :class:`RecipeError` before anything runs, and then writes nothing; :class:`UcadiError` with the
    first cell's error, after the report is written, if all cells failed.
    """
    if plan.data is not None:
        open_plan_sites(plan, plan.data)
    with ProgressDisplay() as display:
        with _removed_on_error(plan.out):
            data = plan.data or _make_phantom(plan, display)
            sites = open_plan_sites(plan, data)
            _check_readers(plan, sites)
            done = resume.finished_cells(plan, _results(plan, sites, [])) if plan.resume else {}
            missing = [cell for cell in plan.grid if (cell[0].name, cell[1]) not in done]
            if missing:
                _read_images(plan, sites, display)
        display.expect(
            {run.title: plan.rounds_of(s) for s, seed in missing for run in plan.runs(s, seed)}
        )
        _write_recipes(plan)
        with _deleted_at_the_end(plan.folder.cache), Engine() as engine:
            for strategy, seed in missing:
                cells = [
                    run_cell(engine, plan, run, data, len(sites), display)
                    for run in plan.runs(strategy, seed)
                ]
                cell = cells[0]
                if plan.folds:
                    cell = folds.join_folds(plan, strategy, seed, cells)
                    with display.step(f"testing {strategy.name} · seed {seed}", 1):
                        cell = folds.test_chosen_folds(
                            plan, strategy, seed, cell, list(sites.values())
                        )
                done[strategy.name, seed] = cell
                finished = [done[s.name, k] for s, k in plan.grid if (s.name, k) in done]
                write_results(plan.folder.results, _results(plan, sites, finished))
    report = publish(plan.out, plan.readers)
    results = read_results(plan.folder.results)
    errors = [cell.error for cell in results.cells if cell.error]
    if len(errors) == len(results.cells):
        raise UcadiError(f"every run failed, the first with: {errors[0]} (report: {report})")
    return report


def open_plan_sites(plan: ExperimentPlan, data: Path) -> dict[str, Site]:
    """Site name → site of a data folder, divided as planned.

    Raises :class:`DataError`, or :class:`RecipeError` if a strategy needs more sites.
    """
    sites = open_sites(data, plan.task, plan.division)
    plan.check_quorum(sum(site.trains for site in sites.values()))
    return sites


def _check_readers(plan: ExperimentPlan, sites: Mapping[str, Site]) -> None:
    """A table of readers that does not fit is an error now, not after the training."""
    if plan.readers is not None:
        cases = [case.name for site in sites.values() for case in site.parts["test"]]
        classes = plan.task.classes
        read_readers(plan.readers, cases, classes, classes.index(plan.task.positive_class))


def _make_phantom(plan: ExperimentPlan, display: ProgressDisplay) -> Path:
    phantom = plan.task.phantom
    if phantom is None:
        raise DataError(f"task {plan.task.name} has no built-in phantom; name images with --data")
    count = plan.sites or phantom.sites
    root = plan.folder.phantom
    if plan.resume and plan.folder.results.exists():  # written after the phantom
        return root
    with display.step("making the phantom", count * phantom.cases_per_site) as advance:
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
    """Make the folder; if the body fails, remove what was not there before."""
    is_new = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        if is_new:
            shutil.rmtree(out)
        raise


@contextmanager
def _deleted_at_the_end(folder: Path) -> Iterator[None]:
    """Delete the folder even after an error: the cache holds patients' images."""
    try:
        yield
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _read_images(plan: ExperimentPlan, sites: Mapping[str, Site], display: ProgressDisplay) -> None:
    """Read every image once, into the cache, so that a broken one is an error before training."""
    datasets = [cached_set(site, plan.task, plan.folder.cache) for site in sites.values()]

    def read(dataset: CachedCases, i: int) -> None:
        dataset[i]

    with (
        display.step("reading the images", sum(map(len, datasets))) as advance,
        ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool,
    ):
        jobs = [pool.submit(read, dataset, i) for dataset in datasets for i in range(len(dataset))]
        try:
            for job in as_completed(jobs):
                job.result()
                advance()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise


def _write_recipes(plan: ExperimentPlan) -> None:
    """Write the recipes with all changes: the sites load them, and they are a record."""
    plan.folder.recipes.mkdir(exist_ok=True)
    texts = {plan.folder.task: loader.dump(plan.task)}
    texts |= {plan.folder.strategy(s.name): loader.dump(s) for s in plan.strategies}
    for path, text in texts.items():
        with replacing(path) as partial:
            partial.write_text(text, encoding="utf-8")


def _results(plan: ExperimentPlan, sites: Mapping[str, Site], cells: Sequence[Cell]) -> Results:
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
                | {"train_bytes": site.train_bytes}
            )
            for name, site in sites.items()
        },
        held_out=list(plan.hold_out),
        environment=describe_environment(),
        cells=list(cells),
    )
