"""Flower's programs as child processes, which end with this command, however it ends."""

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

from ucadi_flwr.limits import LOG_BYTES

GRACE_SECONDS = 20.0
"""A SuperNode that is asked to end informs the server first, and may wait for the reply."""

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # linux/prctl.h
_LIBC = ctypes.CDLL(None)


class Children:
    """A context that ends the processes started in it, and their descendants, when it ends.

    Flower's programs and Ray detach some of their child processes; this process adopts these
    orphans (Linux), so that it can end them too. SIGTERM raises :class:`SystemExit` while the
    context is open, so that ``finally`` clauses run.

    Args:
        environment: the environment variables of the processes.
        status: this program's exit status after SIGTERM.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as home:
        ...     log = Path(home) / "echo.log"
        ...     with Children(flower_environment(Path(home))) as children:
        ...         process = children.start(["echo", "started"], log)
        ...         status = process.wait()
        ...     last_line(log)
        'started'
    """

    def __init__(self, environment: Mapping[str, str], status: int = 0) -> None:
        self.environment, self._status = dict(environment), status
        self._started: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        self._handler = signal.signal(signal.SIGTERM, self._exit)
        self._earlier = psutil.Process().children(recursive=True)
        adopt_orphans(True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)  # a second signal must not interrupt this
        for process in list(self._started):
            self.stop(process)
        self._end_descendants()
        adopt_orphans(False)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, self._handler)

    def start(self, command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        """Start a program in a new process group.

        Args:
            command: the program and its arguments.
            log: the file that its output is added to; renamed to ``*.1`` first if it is long.
        """
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
        """End one program that has not ended yet."""
        stop(process, GRACE_SECONDS)
        self._started.remove(process)

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """End a program, and all descendants that any program left running."""
        self.stop(process)
        self._end_descendants()

    def _exit(self, _number: int, _frame: FrameType | None) -> None:
        raise SystemExit(self._status)

    def _end_descendants(self) -> None:
        left = [p for p in psutil.Process().children(recursive=True) if p not in self._earlier]
        end_all(left, GRACE_SECONDS)


def flower_environment(home: Path) -> dict[str, str]:
    """Environment variables for Flower's programs: no telemetry, no downloads.

    Args:
        home: Flower's home folder, with its ``config.toml``.

    The programs of this Python environment come first in ``PATH``.
    """
    return os.environ | {
        "FLWR_HOME": str(home),
        "FLWR_TELEMETRY_ENABLED": "0",
        "FLWR_DISABLE_UPDATE_CHECK": "1",
        "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
    }


def last_line(log: Path) -> str:
    """The last line of a program's output, or the text in Flower's box at its end."""
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
    """Whether orphans below this process become its children, not init's (Linux; prctl(2))."""
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, int(adopt), 0, 0, 0)


def free_port() -> int:
    """A TCP port of the loopback interface that no program uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stop(process: subprocess.Popen[bytes], seconds: float = 10.0) -> None:
    """End a process that we started, with its process group; kill it after so many seconds."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(process.pid, number)
        except ProcessLookupError:
            break
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            continue
    process.wait()


def end_all(processes: Sequence[psutil.Process], seconds: float) -> None:
    """Ask processes to end, and kill those that still run after so many seconds."""
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    _, running = psutil.wait_procs(processes, timeout=seconds)
    for process in running:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(running, timeout=10)


def processes_using(folder: Path) -> list[psutil.Process]:
    """Processes that name the folder in their environment, or have files in it open.

    Ray's workers overwrite their environment with their title, but keep their logs open.
    """
    users = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            files = (Path("/proc") / str(process.pid) / "fd").iterdir()
            texts = [*process.environ().values(), *(str(file.readlink()) for file in files)]
            if any(str(folder) in text for text in texts):
                users.append(process)
    return users


def _end_with_parent() -> None:
    """In the child process: end when the parent is killed (prctl(2))."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
