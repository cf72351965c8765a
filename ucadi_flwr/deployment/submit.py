"""``ucadi submit``: one run of a task by a strategy in a federation, followed to its end."""

import contextlib
import re
import signal
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path

from ucadi_flwr.deployment import last_run
from ucadi_flwr.deployment.control import CONNECTION, Control
from ucadi_flwr.deployment.kit import file_names
from ucadi_flwr.deployment.kit.kits import ServerKit
from ucadi_flwr.deployment.last_run import LastRun
from ucadi_flwr.deployment.state_folder import open_state
from ucadi_flwr.errors import FederationError, RecipeError, UcadiError
from ucadi_flwr.processes.children import Children, flower_environment, last_line
from ucadi_flwr.processes.flower_app import manifest
from ucadi_flwr.processes.progress import JournalWatch, ProgressDisplay
from ucadi_flwr.protection.keys import NO_KEY
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.run_config import RunConfig, RunSettings, ServerSettings, number_of_rounds
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe
from ucadi_flwr.results.layout import RunFolder, ServerFolder

_STARTED = re.compile(r"Successfully started run (\d{1,20})")


@dataclass(frozen=True)
class RunRequest:
    """The run that an operator asks for.

    Args:
        task: name of the task recipe.
        strategy: name of the strategy recipe.
        out: folder of the results, on the server's machine.
        rounds: number of rounds; 0 is as many as make up the task's epochs.
        seed: seed of the initial model, the batches and the sampling.
        sites: how many sites to wait for before round 1; 0 is all of the kit.
        resume: continue the run in ``out`` from its newest checkpoint.
        initial: file of the initial model; None is the seed's.
    """

    task: str
    strategy: str
    out: Path
    rounds: int = 0
    seed: int = 0
    sites: int = 0
    resume: bool = False
    initial: Path | None = None


def submit_run(kit_folder: Path, state_folder: Path | None, request: RunRequest) -> list[Path]:
    """Run a request to its end; the files that the run wrote.

    Args:
        kit_folder: the server's folder of the kit.
        state_folder: ``--state`` of ``ucadi server``; see :func:`open_state`.
        request: what to run.

    An exception or signal that ends this function stops the run too. Raises :class:`RecipeError`
    or :class:`FederationError` if the run cannot start, :class:`FederationError` with the journal's
    reason if it ended early.
    """
    kit = ServerKit.load(kit_folder)
    config, rounds = prepare_run(kit, request)
    state = open_state(state_folder, "server", kit.authority)
    control = Control(state)
    if not control.connected:
        raise FederationError(
            f"{state.folder}: no server was started with this state; start ucadi server first"
        )
    folder = RunFolder(Path(config.server.out))
    folder.server.path.mkdir(parents=True, exist_ok=request.resume)
    log = folder.log
    log_size = log.stat().st_size if log.exists() else 0
    name = request.strategy
    with (
        tempfile.TemporaryDirectory(prefix="app-", dir=state.folder) as app,
        Children(flower_environment(state.flower), status=128 + signal.SIGTERM) as children,
        ProgressDisplay() as display,
    ):
        (Path(app) / "pyproject.toml").write_text(manifest(config.flat()), encoding="utf-8")
        display.expect({name: rounds})
        with display.follow(name, folder.server.journal) as watch:
            process = children.start(["flwr", "run", app, CONNECTION, "--stream"], log)
            run = None
            try:
                while process.poll() is None and not has_ended(folder.server, watch):
                    watch.poll()
                    if run is None and (number := run_number(log, log_size)):
                        run = LastRun(request.task, name, config.server.out, number)
                        last_run.save(state.last_run, run)
                    time.sleep(0.3)
            except BaseException:
                if run is not None:
                    with contextlib.suppress(UcadiError):
                        control.stop_run(run.run)
                    last_run.save(state.last_run, replace(run, stopped=True))
                raise
    return result_files(folder.server, watch, log)


def prepare_run(kit: ServerKit, request: RunRequest) -> tuple[RunConfig, int]:
    """Check all that can be checked without the sites; the run's settings and number of rounds.

    Raises :class:`RecipeError` or :class:`FederationError`.
    """
    for name in (request.task, request.strategy):
        if set(name) & set("./\\"):
            raise RecipeError(
                f"{name}: sites load recipes by name, each from its own copy; put the file into "
                "tasks/ or strategies/ here and at every site, and name it without .yaml"
            )
    task = loader.load(TaskRecipe, request.task)
    strategy = loader.load(StrategyRecipe, request.strategy)
    scheme = strategy.protection.scheme
    if strategy.cohort == "pooled":
        raise RecipeError(
            f"strategy {request.strategy} pools images, which never leave a site in a federation"
        )
    if scheme not in (NO_KEY.scheme, kit.context.scheme):
        raise FederationError(
            f"strategy {request.strategy} encrypts with {scheme}, and this kit is for "
            f"{kit.context.scheme}; choose another strategy, or make a kit with --scheme {scheme}"
        )
    members = len(kit.node_keys)
    for what, number in (
        ("--sites", request.sites),
        ("the strategy's min-sites", strategy.min_sites),
    ):
        if number > members:
            raise FederationError(f"{what} is {number}, and the kit has {members} sites")
    if request.initial is not None and not request.initial.is_file():
        raise FederationError(f"--initial-model {request.initial}: no such file")
    out = request.out.resolve()
    server = RunFolder(out).server
    if server.finished or (server.path.exists() and not request.resume):
        raise FederationError(
            f"{out} has a run already; name another --out, or continue it with --resume if it did "
            "not finish"
        )
    config = RunConfig(
        RunSettings(
            task=request.task,
            strategy=request.strategy,
            rounds=request.rounds,
            seed=request.seed,
        ),
        ServerSettings(
            out=str(out),
            name="",
            nodes=request.sites or members,
            context="" if scheme == NO_KEY.scheme else str(kit.folder / file_names.SERVER_CONTEXT),
            initial=str(request.initial.resolve()) if request.initial else "",
            resume=request.resume,
            bandwidth=0,
        ),
    )
    return config, request.rounds or number_of_rounds(task, strategy)


def has_ended(server: ServerFolder, watch: JournalWatch) -> bool:
    """Whether the run wrote its last event or file; Flower notices the end up to a minute later."""
    return bool(watch.stopped) or server.finished


def run_number(log: Path, start: int = 0) -> str:
    """Flower's number of the run, once ``flwr run`` has printed it; '' before.

    Args:
        log: the output of ``flwr run``.
        start: bytes of the log that earlier runs wrote.
    """
    try:
        output = log.read_bytes()
    except OSError:
        return ""
    new = output[start:] if len(output) >= start else output  # a long log was renamed
    match = _STARTED.search(new.decode("utf-8", "replace"))
    return match[1] if match else ""


def result_files(server: ServerFolder, watch: JournalWatch, log: Path) -> list[Path]:
    """The run's files. Flower's exit status does not say whether it finished; its last file does.

    Raises :class:`FederationError` if the run did not finish.
    """
    if watch.stopped:
        raise FederationError(f"the run stopped: {watch.stopped}; --resume continues it")
    if not server.finished:
        raise FederationError(
            "the run ended without a result or a reason; was its process killed? Flower's last "
            f"output: {last_line(log)}; see {log}; --resume continues it"
        )
    return [path for path in (server.result, server.sealed, *server.models) if path.exists()]
