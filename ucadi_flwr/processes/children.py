"""Flower's programs as child processes: whatever ends this command ends them and their own."""

import contextlib
import ctypes
import itertools
import os
import signal
import socket
import subprocess  # fixed commands of this environment, no shell
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

import psutil

from ucadi_flwr.files.limits import LOG_BYTES

GRACE_SECONDS = 20.0
"""A SuperNode that is asked to end tells the server first, and may wait for an answer."""

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
_LIBC = ctypes.CDLL(None)


class Children:
    """A context that owns the processes started in it, and ends them with all that they started.

    Flower's programs and Ray detach some of their own; such orphans are adopted, and ended too.
    SIGTERM leaves the program through its ``finally`` clauses, with this exit status.
    """

    def __init__(self, environment: Mapping[str, str], status: int = 0) -> None:
        self.environment, self._status = dict(environment), status
        self._started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self._handler = signal.signal(signal.SIGTERM, self._leave)
        self._others = psutil.Process().children(recursive=True)
        adopt_orphans(True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)  # nothing stops the stopping
        for process in list(self._started):
            self.stop(process)
        self._end_descendants()
        adopt_orphans(False)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, self._handler)

    def start(self, command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        """Start a program in a group of its own; what it says is added to ``log``."""
        if log.exists() and log.stat().st_size > LOG_BYTES:
            log.replace(log.with_name(f"{log.name}.1"))
        with log.open("ab") as output:
            process = subprocess.Popen(  # noqa: S603 - a fixed command
                command,
                env=self.environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=_end_with_parent,
            )
        self._started.append(process)
        return process

    def stop(self, process: subprocess.Popen[bytes]) -> None:
        """End one program, if it has not ended."""
        stop(process, GRACE_SECONDS)
        self._started.remove(process)

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """End a program and all that any of them left behind."""
        self.stop(process)
        self._end_descendants()

    def _leave(self, _number: int, _frame: FrameType | None) -> None:
        raise SystemExit(self._status)

    def _end_descendants(self) -> None:
        left = [p for p in psutil.Process().children(recursive=True) if p not in self._others]
        end_all(left, GRACE_SECONDS)


def environment(home: Path) -> dict[str, str]:
    """Flower's home, no telemetry and no downloads, and this environment's programs first."""
    return os.environ | {
        "FLWR_HOME": str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }


def last_line(log: Path) -> str:
    """What a program said last: a line, or what stands in a box of Flower's."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "no output"
    lines = [line.strip() for line in text.strip().splitlines()] or ["no output"]
    if not lines[-1].startswith("╰"):
        return lines[-1]
    box = itertools.takewhile(lambda line: line.startswith("│"), reversed(lines[:-1]))
    return " ".join(line.strip("│ ") for line in reversed(list(box)))


def adopt_orphans(adopt: bool) -> None:
    """Have orphans below this process become its children, not init's (Linux; prctl(2))."""
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, int(adopt), 0, 0, 0)


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


def end_all(processes: Sequence[psutil.Process], seconds: float) -> None:
    """Ask processes to end, and kill those that have not after so many seconds."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, stubborn = psutil.wait_procs(processes, timeout=seconds)
    for process in stubborn:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(stubborn, timeout=10)


def users_of(folder: Path) -> list[psutil.Process]:
    """Processes that have the folder in their environment, or files in it open.

    Ray's workers overwrite their environment with their title, but keep their logs open.
    """
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            files = (Path("/proc") / str(process.pid) / "fd").iterdir()
            words = [*process.environ().values(), *(str(file.readlink()) for file in files)]
            if any(str(folder) in word for word in words):
                found.append(process)
    return found


def _end_with_parent() -> None:
    """In the child: a parent that is killed takes it along (prctl(2))."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
