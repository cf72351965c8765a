"""A grid of experiments on one machine: every strategy × seed is one cell on Flower's engine."""

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
from ucadi_flwr.processes.progress import Progress
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
from ucadi_flwr.simulation.experiment import Plan


def run(plan: Plan) -> Path:
    """Run every cell and write results.json and report.html; the report's path.

    A cell that fails is reported and does not stop the others; if all fail, the first one's
    error is raised after the report is written.
    """
    if plan.data is not None:
        _open(plan, plan.data)
    with Progress() as progress:
        with _removed_on_error(plan.out):
            data = plan.data or _make_phantom(plan, progress)
            sites = _open(plan, data)
            _check_readers(plan, sites)
            done = resume.finished_cells(plan, _results(plan, sites, [])) if plan.resume else {}
            missing = [cell for cell in plan.grid if (cell[0].name, cell[1]) not in done]
            if missing:
                _read_images(plan, sites, progress)
        progress.plan(
            {run.title: plan.rounds_of(s) for s, seed in missing for run in plan.runs(s, seed)}
        )
        _write_recipes(plan)
        with _deleted_at_the_end(plan.folder.cache), Engine() as engine:
            for strategy, seed in missing:
                cells = [
                    run_cell(engine, plan, run, data, len(sites), progress)
                    for run in plan.runs(strategy, seed)
                ]
                cell = cells[0]
                if plan.folds:
                    cell = folds.joined(plan, strategy, seed, cells)
                    with progress.step(f"testing {strategy.name} · seed {seed}", 1):
                        cell = folds.tested(plan, strategy, seed, cell, list(sites.values()))
                done[strategy.name, seed] = cell
                found = [done[s.name, k] for s, k in plan.grid if (s.name, k) in done]
                write_results(plan.folder.results, _results(plan, sites, found))
    report = publish(plan.out, plan.readers)
    results = read_results(plan.folder.results)
    errors = [cell.error for cell in results.cells if cell.error]
    if len(errors) == len(results.cells):
        raise UcadiError(f"every run failed, the first with: {errors[0]} (report: {report})")
    return report


def _open(plan: Plan, data: Path) -> dict[str, Site]:
    sites = open_sites(data, plan.task, plan.division)
    plan.check_quorum(sum(site.trains for site in sites.values()))
    return sites


def _check_readers(plan: Plan, sites: Mapping[str, Site]) -> None:
    """A table of readers that does not fit is told now, not after the training."""
    if plan.readers is not None:
        cases = [case.name for site in sites.values() for case in site.parts["test"]]
        classes = plan.task.classes
        read_readers(plan.readers, cases, classes, classes.index(plan.task.positive_class))


def _make_phantom(plan: Plan, progress: Progress) -> Path:
    phantom = plan.task.phantom
    if phantom is None:
        raise DataError(f"task {plan.task.name} has no built-in phantom; name images with --data")
    count = plan.sites or phantom.sites
    root = plan.folder.phantom
    if plan.resume and plan.folder.results.exists():  # written after the phantom
        return root
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
    sets = [cached_set(site, plan.task, plan.folder.cache) for site in sites.values()]

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


def _write_recipes(plan: Plan) -> None:
    """The recipes as they were run, overrides included: what the sites load, and a record."""
    plan.folder.recipes.mkdir(exist_ok=True)
    texts = {plan.folder.task: loader.dump(plan.task)}
    texts |= {plan.folder.strategy(s.name): loader.dump(s) for s in plan.strategies}
    for path, text in texts.items():
        with replacing(path) as partial:
            partial.write_text(text, encoding="utf-8")


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
                | {"train_bytes": site.train_bytes}
            )
            for name, site in sites.items()
        },
        held_out=list(plan.hold_out),
        environment=describe_environment(),
        cells=list(cells),
    )
