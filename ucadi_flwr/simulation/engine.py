"""Flower's simulation engine as a child process that leaves nothing behind.

``flwr run`` talks to a SuperLink. Left alone it starts one that outlives the run, on a fixed
port, with its state in the user's home. Here the SuperLink is ours: a free port, a folder of its
own, no network beyond this machine, and its whole process group ends with the experiment.
"""

import contextlib
import ctypes
import os
import signal
import socket
import subprocess  # fixed commands of this environment, no shell
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

import psutil
import torch

from ucadi_flwr.errors import FederationError
from ucadi_flwr.run_config import RunConfig

START_SECONDS = 120.0
CONNECTION = "engine"
PR_SET_CHILD_SUBREAPER = 36  # linux/prctl.h


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
        short = Path("/tmp")  # noqa: S108 - Ray's sockets need a short path (107 bytes)
        self._folder = tempfile.TemporaryDirectory(
            prefix=f"ucadi-{os.getpid()}-",  # whose it is, should it ever be left behind
            dir=short if short.is_dir() else None,
            ignore_cleanup_errors=True,
        )
        self.home = Path(self._folder.name)
        inherited = {k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"}
        self._environment = inherited | {
            "FLWR_HOME": str(self.home),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_TMPDIR": str(self.home),
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        }
        self._superlink: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self._former_handler = signal.signal(signal.SIGTERM, _leave)
        self._others = psutil.Process().children(recursive=True)
        adopt_orphans(True)
        try:
            self._start_superlink()
        except BaseException:
            self._close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._close()

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
        self._superlink = self._start(command, self.home / "superlink.log")
        self._wait_until_healthy(f"http://{address}/health")

    def _close(self) -> None:
        if self._superlink is not None:
            stop(self._superlink)
        self._stop_descendants()
        adopt_orphans(False)
        self._folder.cleanup()
        signal.signal(signal.SIGTERM, self._former_handler)

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
        (app / "pyproject.toml").write_text(manifest(config), encoding="utf-8")
        federation = (
            f"num-supernodes={nodes} client-resources-num-cpus={resources.cpus} "
            f"client-resources-num-gpus={resources.gpus}"
        )
        command = [
            *("flwr", "run", str(app), CONNECTION, "--stream"),
            *("--federation-config", federation),
        ]
        process = self._start(command, log)
        try:
            while process.poll() is None:
                while_running()
                self._check_alive()
                time.sleep(0.2)
        finally:
            stop(process)
        return process.returncode

    def _start(self, command: list[str], log: Path) -> subprocess.Popen[bytes]:
        with log.open("ab") as output:
            return subprocess.Popen(  # noqa: S603 - a fixed command
                command,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _stop_descendants(self) -> None:
        """End whatever is left; Ray detaches its workers, so they are ours by adoption only."""
        left = [p for p in psutil.Process().children(recursive=True) if p not in self._others]
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.terminate()
        _, stubborn = psutil.wait_procs(left, timeout=10)
        for process in stubborn:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(stubborn, timeout=10)

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
            log = (self.home / "superlink.log").read_text(encoding="utf-8", errors="replace")
            last = log.strip().splitlines()[-1:] or ["no output"]
            raise FederationError(f"Flower's engine stopped by itself: {last[0]}")


def _leave(number: int, _frame: FrameType | None) -> None:
    """SIGTERM ends the program through its ``finally`` clauses, as Ctrl-C does."""
    raise SystemExit(128 + number)


def manifest(config: RunConfig) -> str:
    """The ``pyproject.toml`` of a Flower app that runs the installed package."""
    lines = [
        '[project]\nname = "ucadi-flwr"\nversion = "0.1.0"\nlicense = "Apache-2.0"\n',
        '[tool.flwr.app]\npublisher = "ucadi"\n',
        '[tool.flwr.app.components]\nserverapp = "ucadi_flwr.server_app:app"',
        'clientapp = "ucadi_flwr.client_app:app"\n',
        "[tool.flwr.app.config]",
    ]
    for key, value in config.model_dump().items():
        lines.append(f"{key} = {_toml(value)}")
    return "\n".join(lines) + "\n"


def _toml(value: int | str) -> str:
    if isinstance(value, int):
        return str(value)
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def adopt_orphans(adopt: bool) -> None:
    """Have orphans below this process become its children, not init's (Linux; prctl(2))."""
    ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, int(adopt), 0, 0, 0)


def free_port() -> int:
    """A TCP port on the loopback interface that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stop(process: subprocess.Popen[bytes], seconds: float = 10.0) -> None:
    """End a process that we started, with all of its group."""
    for sign in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            break
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            continue
    process.wait()
