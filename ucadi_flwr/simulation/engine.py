"""Flower's simulation engine as child processes that end with the experiment.

``flwr run`` needs a SuperLink. By default it starts one that outlives the run, on a fixed port,
with its state in the user's home. Here the experiment starts the SuperLink: on a free port of the
loopback interface, with a temporary folder, and its processes end with the experiment.
"""

import contextlib
import os
import shutil
import signal
import subprocess  # a type only
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import torch

from ucadi_flwr.errors import FederationError
from ucadi_flwr.files.locks import LOCK, held
from ucadi_flwr.processes.children import (
    Children,
    end_all,
    flower_environment,
    free_port,
    last_line,
    processes_using,
)
from ucadi_flwr.processes.flower_app import manifest
from ucadi_flwr.recipes.run_config import RunConfig

FOLDER_PREFIX = "ucadi-engine-"
"""The names of engines' folders begin with it, so that an abandoned one is recognised."""

_START_SECONDS = 120.0
_GRACE_SECONDS = 5.0
_CONNECTION = "engine"


@dataclass(frozen=True)
class Resources:
    """Processor cores of one site's work, and its share of one GPU."""

    cpus: int
    gpus: float

    @classmethod
    def share(cls, sites: int) -> Self:
        """Divide this machine among sites that train at the same time; one core each at least."""
        cores, gpus = len(os.sched_getaffinity(0)), torch.cuda.device_count()
        return cls(cpus=max(1, cores // sites), gpus=min(1.0, gpus / sites))


class Engine:
    """A context: the engine runs while it is open, and no process or folder is left after it.

    Raises :class:`FederationError` if the SuperLink does not start or ends by itself. An engine
    whose experiment was killed is ended by the next one.
    """

    def __init__(self) -> None:
        tmp = Path("/tmp")  # noqa: S108 - Ray's sockets need a short path (107 bytes)
        tmp = tmp if tmp.is_dir() else Path(tempfile.gettempdir())
        end_abandoned(tmp)
        self._folder = tempfile.TemporaryDirectory(
            prefix=f"{FOLDER_PREFIX}{os.getpid()}-", dir=tmp, ignore_cleanup_errors=True
        )
        self.home = Path(self._folder.name)
        variables = flower_environment(self.home) | {
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_TMPDIR": str(self.home),
        }
        variables.pop("RAY_ADDRESS", None)
        self._children = Children(variables, status=128 + signal.SIGTERM)
        self._superlink: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.callback(self._folder.cleanup)
            stack.enter_context(held(self.home, "an engine uses it"))
            stack.enter_context(self._children)
            self._start_superlink()
            self._open = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._open.__exit__(kind, value, traceback)

    def _start_superlink(self) -> None:
        port, control = free_port(), free_port()
        address = f"127.0.0.1:{port}"
        config = f'[superlink.{_CONNECTION}]\naddress = "{address}"\ninsecure = true\n'
        (self.home / "config.toml").write_text(config, encoding="utf-8")
        command = [
            *("flower-superlink", "--insecure", "--simulation", "--isolation", "subprocess"),
            *("--host", "127.0.0.1", "--port", str(port)),
            *("--control-api-address", f"127.0.0.1:{control}"),
        ]
        self._superlink = self._children.start(command, self.home / "superlink.log")
        self._wait_until_healthy(f"http://{address}/health")

    def run(
        self,
        config: RunConfig,
        nodes: int,
        resources: Resources,
        log: Path,
        while_running: Callable[[], None],
    ) -> int:
        """Execute one run to its end; the exit status of ``flwr run``.

        Args:
            config: the run's settings.
            nodes: number of simulated sites.
            resources: what each of them may use at the same time.
            log: the file that Flower's output is added to.
            while_running: is called a few times a second.
        """
        app = self.home / "app"
        app.mkdir(exist_ok=True)
        (app / "pyproject.toml").write_text(manifest(config.flat()), encoding="utf-8")
        federation = (
            f"num-supernodes={nodes} client-resources-num-cpus={resources.cpus} "
            f"client-resources-num-gpus={resources.gpus}"
        )
        command = [
            *("flwr", "run", str(app), _CONNECTION, "--stream"),
            *("--federation-config", federation),
        ]
        process = self._children.start(command, log)
        try:
            while process.poll() is None:
                while_running()
                self._check_alive()
                time.sleep(0.2)
        finally:
            self._children.stop(process)
        return process.returncode

    def _wait_until_healthy(self, url: str) -> None:
        deadline = time.monotonic() + _START_SECONDS
        while time.monotonic() < deadline:
            self._check_alive()
            with contextlib.suppress(httpx.HTTPError):
                if httpx.get(url, timeout=2.0, trust_env=False).is_success:
                    return
            time.sleep(0.2)
        raise FederationError(f"Flower's engine did not start within {_START_SECONDS:.0f} s")

    def _check_alive(self) -> None:
        if self._superlink is not None and self._superlink.poll() is not None:
            last = last_line(self.home / "superlink.log")
            raise FederationError(f"Flower's engine stopped by itself: {last}")


def end_abandoned(parent: Path) -> None:
    """End this account's engines in a folder whose experiment was killed; delete their folders."""
    for folder in sorted(parent.glob(f"{FOLDER_PREFIX}*")):
        with contextlib.suppress(OSError, FederationError):
            if folder.stat().st_uid != os.getuid() or not (folder / LOCK).is_file():
                continue
            with held(folder, "its experiment runs"):
                end_all(processes_using(folder), _GRACE_SECONDS)
            shutil.rmtree(folder, ignore_errors=True)
