"""``ucadi submit``: one run of a task by a strategy in a federation, followed to its end."""

import contextlib
import re
import signal
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from ucadi_flwr.deployment import lastrun
from ucadi_flwr.deployment.control import CONNECTION, Control
from ucadi_flwr.deployment.kit import layout
from ucadi_flwr.deployment.kit.kits import ServerKit
from ucadi_flwr.deployment.lastrun import LastRun
from ucadi_flwr.deployment.state import open_state
from ucadi_flwr.errors import FederationError, RecipeError, UcadiError
from ucadi_flwr.processes.children import Children, environment, last_line
from ucadi_flwr.processes.flower_app import manifest
from ucadi_flwr.processes.progress import Progress, Watch
from ucadi_flwr.protection.keys import NO_KEY
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.run_config import RunConfig, RunSettings, ServerSettings, number_of_rounds
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe
from ucadi_flwr.results.layout import RunFolder, ServerFolder

_STARTED = re.compile(r"Successfully started run (\d{1,20})")


@dataclass(frozen=True)
class Order:
    """What to run. ``rounds`` 0: as many as make up the task's epochs; ``sites`` 0: all."""

    task: str
    strategy: str
    out: Path
    rounds: int = 0
    seed: int = 0
    sites: int = 0
    resume: bool = False
    initial: Path | None = None


def submit(folder: Path, state: Path | None, order: Order) -> list[Path]:
    """Run it; the files that came of it. Whatever stops this command stops the run.

    Raises :class:`FederationError` with the journal's reason if the run ended early.
    """
    kit = ServerKit.load(folder)
    config, rounds = prepare(kit, order)
    place = open_state(state, "server", kit.authority)
    control = Control(place)
    if not control.connected:
        raise FederationError(f"{place.folder}: no server ran here; start ucadi server first")
    run_folder = RunFolder(Path(config.server.out))
    run_folder.server.path.mkdir(parents=True, exist_ok=order.resume)
    log = run_folder.log
    before = log.stat().st_size if log.exists() else 0
    name = order.strategy
    with (
        tempfile.TemporaryDirectory(prefix="app-", dir=place.folder) as app,
        Children(environment(place.flower), status=128 + signal.SIGTERM) as children,
        Progress() as progress,
    ):
        (Path(app) / "pyproject.toml").write_text(manifest(config.flat()), encoding="utf-8")
        progress.plan({name: rounds})
        with progress.cell(name, run_folder.server.journal) as watch:
            process = children.start(["flwr", "run", app, CONNECTION, "--stream"], log)
            run = None
            try:
                while process.poll() is None and not over(run_folder.server, watch):
                    watch.poll()
                    if run is None and (number := started(log, before)):
                        run = LastRun(order.task, name, config.server.out, number)
                        lastrun.save(place.last_run, run)
                    time.sleep(0.3)
            except BaseException:
                if run is not None:
                    with contextlib.suppress(UcadiError):
                        control.stop_run(run.run)
                    lastrun.save(place.last_run, replace(run, stopped=True))
                raise
    return results(run_folder.server, watch, log)


def prepare(kit: ServerKit, order: Order) -> tuple[RunConfig, int]:
    """Check whatever can be checked before sites are asked; the settings and number of rounds."""
    for name in (order.task, order.strategy):
        if set(name) & set("./\\"):
            raise RecipeError(
                f"{name}: sites take recipes by their names, each from its own copy; put the file "
                "into tasks/ or strategies/ here and there, and name it without .yaml"
            )
    task = loader.load(TaskRecipe, order.task)
    strategy = loader.load(StrategyRecipe, order.strategy)
    scheme = strategy.protection.scheme
    if strategy.cohort == "pooled":
        raise RecipeError(f"strategy {order.strategy} pools images; no site gives them away")
    if scheme not in (NO_KEY.scheme, kit.context.scheme):
        raise FederationError(
            f"strategy {order.strategy} encrypts with {scheme}, and this kit is for "
            f"{kit.context.scheme}; choose another strategy, or make a kit with --scheme {scheme}"
        )
    members, least = len(kit.node_keys), strategy.min_sites
    if max(order.sites, least) > members:
        raise FederationError(
            f"the kit has {members} sites; --sites {order.sites} and min-sites {least} cannot be"
        )
    if order.initial is not None and not order.initial.is_file():
        raise FederationError(f"{order.initial}: no such file to begin with")
    out = order.out.resolve()
    server = RunFolder(out).server
    if server.finished or (server.path.exists() and not order.resume):
        raise FederationError(
            f"{out} has a run already; name another --out, or go on with it by --resume if it did "
            "not finish"
        )
    config = RunConfig(
        RunSettings(task=order.task, strategy=order.strategy, rounds=order.rounds, seed=order.seed),
        ServerSettings(
            out=str(out),
            name="",
            nodes=order.sites or members,
            context="" if scheme == NO_KEY.scheme else str(kit.folder / layout.SERVER_CONTEXT),
            initial=str(order.initial.resolve()) if order.initial else "",
            resume=order.resume,
            bandwidth=0,
        ),
    )
    return config, order.rounds or number_of_rounds(task, strategy)


def over(server: ServerFolder, watch: Watch) -> bool:
    """Whether the run has said its last word; Flower takes up to a minute to see that it ended."""
    return bool(watch.stopped) or server.finished


def started(log: Path, before: int = 0) -> str:
    """The run's number, once ``flwr run`` has told it; ``before``: bytes of the log of others."""
    try:
        said = log.read_bytes()
    except OSError:
        return ""
    new = said[before:] if len(said) >= before else said  # a long log was put aside
    found = _STARTED.search(new.decode("utf-8", "replace"))
    return found[1] if found else ""


def results(server: ServerFolder, watch: Watch, log: Path) -> list[Path]:
    """The run's files; Flower's exit status says nothing, its own last file does."""
    if watch.stopped:
        raise FederationError(f"the run stopped: {watch.stopped}; --resume goes on with it")
    if not server.finished:
        raise FederationError(
            "the run ended without a result or a reason; was its process killed? Flower said last: "
            f"{last_line(log)}; see {log}; --resume goes on with it"
        )
    return [path for path in (server.result, server.sealed, *server.models) if path.exists()]
