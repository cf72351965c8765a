"""Folders that one process holds at a time."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ucadi_flwr.errors import FederationError

LOCK = "lock"


@contextmanager
def held(folder: Path, advice: str) -> Iterator[None]:
    """Hold it; the kernel lets go when this process ends, however it does.

    Raises :class:`FederationError`, with ``advice``, if another process holds it.
    """
    descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FederationError(f"{folder}: another process is at work there; {advice}") from None
        yield
    finally:
        os.close(descriptor)


def in_use(folder: Path) -> bool:
    """Whether a process that lives holds the folder."""
    if not (folder / LOCK).is_file():
        return False
    try:
        with held(folder, ""):
            return False
    except FederationError:
        return True
