"""Flower's simulation engine as a child process that leaves nothing behind.

``flwr run`` talks to a SuperLink. Left alone it starts one that outlives the run, on a fixed
port, with its state in the user's home. Here the SuperLink is ours: a free port, a folder of its
own, no network beyond this machine, and its whole process group ends with the experiment.
"""

import contextlib
import os
import shutil
import signal
import subprocess  # a type only
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import torch

from ucadi_flwr.errors import FederationError
from ucadi_flwr.files.locks import LOCK, held
from ucadi_flwr.processes.children import (
    Children,
    end_all,
    environment,
    free_port,
    last_line,
    users_of,
)
from ucadi_flwr.processes.flower_app import manifest
from ucadi_flwr.recipes.run_config import RunConfig

START_SECONDS = 120.0
CONNECTION = "engine"
MARK = "ucadi-engine-"
"""How the engine's folder is named, to know it should it ever be left behind."""


@dataclass(frozen=True)
class Resources:
    """What one site's work gets: processor cores, and a share of one GPU."""

    cpus: int
    gpus: float

    @classmethod
    def share(cls, sites: int) -> Self:
        """Divide this machine among sites that train at the same time: a core each at least."""
        cores, gpus = len(os.sched_getaffinity(0)), torch.cuda.device_count()
        return cls(cpus=max(1, cores // sites), gpus=min(1.0, gpus / sites))


class Engine:
    """A context: the engine runs while it is open."""

    def __init__(self) -> None:
        tmp = Path("/tmp")  # noqa: S108 - Ray's sockets need a short path (107 bytes)
        tmp = tmp if tmp.is_dir() else Path(tempfile.gettempdir())
        sweep(tmp, MARK)
        self._folder = tempfile.TemporaryDirectory(
            prefix=f"{MARK}{os.getpid()}-", dir=tmp, ignore_cleanup_errors=True
        )
        self.home = Path(self._folder.name)
        variables = environment(self.home) | {
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_TMPDIR": str(self.home),
        }
        variables.pop("RAY_ADDRESS", None)
        self._children = Children(variables, status=128 + signal.SIGTERM)
        self._superlink: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        with contextlib.ExitStack() as stack:
            stack.callback(self._folder.cleanup)
            stack.enter_context(held(self.home, "it is an engine's"))
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
        config = f'[superlink.{CONNECTION}]\naddress = "{address}"\ninsecure = true\n'
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
        """Run one cell to its end; the exit status of ``flwr run``. Its output goes to ``log``.

        ``while_running`` is called a few times a second.
        """
        app = self.home / "app"
        app.mkdir(exist_ok=True)
        (app / "pyproject.toml").write_text(manifest(config.flat()), encoding="utf-8")
        federation = (
            f"num-supernodes={nodes} client-resources-num-cpus={resources.cpus} "
            f"client-resources-num-gpus={resources.gpus}"
        )
        command = [
            *("flwr", "run", str(app), CONNECTION, "--stream"),
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
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            self._check_alive()
            try:
                with urllib.request.urlopen(url, timeout=2):  # noqa: S310 - our own loopback
                    return
            except (urllib.error.URLError, OSError):
                time.sleep(0.2)
        raise FederationError(f"Flower's engine did not start within {START_SECONDS:.0f} s")

    def _check_alive(self) -> None:
        if self._superlink is not None and self._superlink.poll() is not None:
            last = last_line(self.home / "superlink.log")
            raise FederationError(f"Flower's engine stopped by itself: {last}")


_GRACE_SECONDS = 5.0


def sweep(parent: Path, mark: str) -> None:
    """End the processes of this account's folders that nobody holds, and remove the folders."""
    for folder in sorted(parent.glob(f"{mark}*")):
        with contextlib.suppress(OSError, FederationError):
            if folder.stat().st_uid != os.getuid() or not (folder / LOCK).is_file():
                continue
            with held(folder, "its experiment lives"):
                end_all(users_of(folder), _GRACE_SECONDS)
            shutil.rmtree(folder, ignore_errors=True)
