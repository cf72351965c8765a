"""What an experiment that was killed outright left behind: ended and removed by the next one.

Ctrl-C and SIGTERM leave nothing. After ``kill -9`` Flower's processes may run on; they are known
by their folder, which an experiment holds a lock on for as long as it lives.
"""

import contextlib
import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from ucadi_flwr.processes import end_all

_LOCK = "claimed"
_GRACE_SECONDS = 5.0


@contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Hold the folder; the kernel lets go of it when this process ends, however it does."""
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(descriptor)


def sweep(parent: Path, mark: str) -> None:
    """End the processes of this account's folders that nobody holds, and remove the folders."""
    for folder in sorted(parent.glob(f"{mark}*")):
        with contextlib.suppress(OSError):
            if folder.stat().st_uid != os.getuid() or not (folder / _LOCK).is_file():
                continue
            with claimed(folder):  # BlockingIOError, which is an OSError, if its owner lives
                end_all(users(folder), _GRACE_SECONDS)
            shutil.rmtree(folder, ignore_errors=True)


def users(folder: Path) -> list[psutil.Process]:
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
