"""Files that are there whole or not at all, whenever a process or the machine dies."""

import contextlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Write the file that is yielded: it takes ``path``'s place when the block ends well.

    Its bytes and its name are on the disk by then (fsync). If the block or the disk fails, ``path``
    is as it was and nothing is left beside it. A disk that fails is an OSError, whoever writes.
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


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
