"""Atomic writing: a file is complete or unchanged, also if a process or the machine stops."""

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path; it replaces ``path`` when the block ends without an error.

    At that time the bytes and the directory entry are on the disk (fsync). If the block or the disk
    fails, ``path`` is unchanged and the temporary file is deleted.

    Raises:
        OSError: the disk fails; also where safetensors reports that as an error of its own type.
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


def create(path: Path, content: bytes, *, mode: int) -> None:
    """Write a new file that has its mode before it has content.

    Its bytes and its directory entry are on the disk when this returns (fsync). If writing fails,
    no file remains. An existing file is never overwritten, and a link is never followed.

    Args:
        path: the file, in an existing folder.
        content: its bytes.
        mode: its permission bits, less the umask; 0o600 for a secret.

    Raises :class:`FileExistsError` where the path exists, and :class:`OSError` of the disk.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _sync(path.parent)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def rename(path: Path, new: Path) -> None:
    """Rename a file within its folder; the new name is on the disk when this returns (fsync)."""
    path.rename(new)
    _sync(new.parent)


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
