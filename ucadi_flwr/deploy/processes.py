"""Flower's programs as child processes: whatever ends this command ends them and their own."""

import contextlib
import ctypes
import os
import signal
import subprocess  # fixed commands of this environment, no shell
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType, TracebackType
from typing import Self

import psutil

from ucadi_flwr.simulation.engine import adopt_orphans, stop

LARGEST_LOG = 16 * 2**20
"""Bytes; a longer log is put aside as ``.1`` when its program starts again."""

GRACE_SECONDS = 20.0
"""A SuperNode that is asked to end tells the server first, and may wait for an answer."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LIBC = ctypes.CDLL(None)


class Children:
    """A context that owns one process at a time, and ends it with all that it started.

    Flower's programs detach some of their own; such orphans are adopted, and ended too.

    SIGTERM leaves the program through its ``finally`` clauses, with this exit status.
    """

    def __init__(self, home: Path, status: int = 0) -> None:
        self.environment, self._status = environment(home), status
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
            self.end(process)
        self._end_descendants()
        adopt_orphans(False)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, self._handler)

    def start(self, command: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        """Start a program in a group of its own; what it says is added to ``log``."""
        if log.exists() and log.stat().st_size > LARGEST_LOG:
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

    def end(self, process: subprocess.Popen[bytes]) -> None:
        """End a program, if it has not ended, and all that it left behind."""
        stop(process, GRACE_SECONDS)
        self._started.remove(process)
        self._end_descendants()

    def _leave(self, _number: int, _frame: FrameType | None) -> None:
        raise SystemExit(self._status)

    def _end_descendants(self) -> None:
        left = [p for p in psutil.Process().children(recursive=True) if p not in self._others]
        for process in left:
            with contextlib.suppress(psutil.Error):
                process.terminate()
        _, stubborn = psutil.wait_procs(left, timeout=GRACE_SECONDS)
        for process in stubborn:
            with contextlib.suppress(psutil.Error):
                process.kill()
        psutil.wait_procs(stubborn, timeout=10)


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
    """What a program said last."""
    try:
        text = log.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return "no output"
    return (text.strip().splitlines() or ["no output"])[-1].strip()


def _end_with_parent() -> None:
    """In the child: a parent that is killed takes it along (prctl(2))."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
