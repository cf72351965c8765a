"""Files that are written whole or not at all, and folders that one process uses at a time."""

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout
from safetensors import SafetensorError

from ucadi_flwr.errors import FederationError

LOCK = "lock"
"""Name of the lock file in a folder that :func:`held` holds."""


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path; it replaces ``path`` when the block ends without an error.

    The bytes and the directory entry are on the disk by then (fsync). If the block or the disk
    fails, ``path`` is unchanged and no temporary file remains. A disk error is an ``OSError``,
    whichever library writes.
    """
    partial = path.with_name(f"{path.name}.partial")
    try:
        yield partial
        _sync(partial)
        partial.replace(path)
        _sync(path.parent)
    except BaseException as error:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
        if isinstance(error, SafetensorError):
            raise OSError(f"{path}: {error}") from None
        raise


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


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
