"""Locks on folders: only one process at a time uses a locked folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ucadi_flwr.errors import FederationError

LOCK = "lock"
"""Name of the lock file in a locked folder."""


@contextmanager
def held(folder: Path, advice: str) -> Iterator[None]:
    """Hold the lock of a folder within the block.

    The kernel also releases the lock when the process ends or is killed.

    Args:
        folder: the folder.
        advice: what the user can do if another process holds the lock.

    Raises:
        FederationError: another process holds the lock.
    """
    lock = FileLock(folder / LOCK, mode=0o600, blocking=False)
    try:
        lock.acquire()
    except Timeout:
        raise FederationError(f"{folder}: another process is working there; {advice}") from None
    try:
        yield
    finally:
        lock.release()


def in_use(folder: Path) -> bool:
    """Whether a running process holds the folder's lock."""
    if not (folder / LOCK).is_file():
        return False
    try:
        with held(folder, ""):
            return False
    except FederationError:
        return True
