"""What the tests of ``run_sim.py`` on Flower's engine share."""

import contextlib
import io
import signal
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import Popen

import psutil

import run_sim

ROOT = Path(__file__).resolve().parents[2]
SIZES = {"a": 12, "b": 8}


def run_simulation(*words: object) -> tuple[str, str]:
    """Run ``run_sim.py`` with these words in this process; its output and its standard error."""
    output, errors = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
        assert run_sim.main(list(map(str, words))) == 0
    return output.getvalue(), errors.getvalue()


def engine_processes(owner: int) -> set[int]:
    """Processes of the engine that process ``owner`` started.

    The engine's home is in their environment or among their files: Ray's workers overwrite their
    environment with their title, but keep their logs open.
    """
    numbers = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            folder = Path("/proc") / str(process.pid) / "fd"
            files = [str(link.readlink()) for link in folder.iterdir()]
            texts = [*process.environ().values(), *files]
            if any(f"/ucadi-engine-{owner}-" in text for text in texts):
                numbers.add(process.pid)
    return numbers


def accept_ctrl_c() -> None:
    """A shell starts background processes with SIGINT ignored, and children inherit that."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def wait_for(condition: Callable[[], bool], process: "Popen[bytes]") -> None:
    deadline = time.monotonic() + 200
    while not condition():
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.5)
