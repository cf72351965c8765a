"""Folders that one process uses at a time."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from ucadi_flwr.errors import FederationError

LOCK = "lock"
"""Name of the lock file in a folder that :func:`held` holds."""


@contextmanager
def held(folder: Path, advice: str) -> Iterator[None]:
    """Hold the lock of a folder; the kernel releases it when this process ends, however it ends.

    Raises :class:`FederationError`, with ``advice``, if another process holds it.
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
