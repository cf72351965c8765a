"""Files and folders of a kit: private from their first moment, and all or nothing."""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ucadi_flwr.errors import FederationError
from ucadi_flwr.files.limits import KIT_FILE_BYTES


def write(path: Path, content: bytes, *, private: bool = False) -> None:
    """Write a new file: mode 0600 from the start if it is private, else 0644."""
    mode = 0o600 if private else 0o644
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def read(path: Path, *, private: bool = False) -> bytes:
    """Read a small file; refuse a private one that others may read."""
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(KIT_FILE_BYTES + 1)
    except OSError as error:
        raise FederationError(
            f"{path}: cannot be read ({error.strerror}); a kit needs it, copy it here again"
        ) from None
    if private and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise FederationError(
            f"{path}: others may read or change it (mode {mode:04o}); run chmod 600 on it, and "
            "ask for a new one if somebody did"
        )
    if len(content) > KIT_FILE_BYTES:
        raise FederationError(
            f"{path}: larger than {KIT_FILE_BYTES} bytes; this is no file of a kit"
        )
    return content


def start(path: Path) -> bytes:
    """The first bytes of a file of any size."""
    try:
        with path.open("rb") as file:
            return file.read(KIT_FILE_BYTES)
    except OSError as error:
        raise FederationError(
            f"{path}: cannot be read ({error.strerror}); move it elsewhere"
        ) from None


def text(path: Path) -> str:
    """Read a small file that is text."""
    try:
        return read(path).decode()
    except UnicodeDecodeError:
        raise FederationError(f"{path}: this is not UTF-8 text") from None


@contextmanager
def created(kit: Path) -> Iterator[Path]:
    """An empty private folder that becomes ``kit`` when all went well, and else vanishes."""
    with _one_line(kit):
        if kit.exists() or kit.is_symlink():
            raise FederationError(f"{kit} exists already; it is not overwritten, name another one")
        with _beside(kit) as stage:
            yield stage
            stage.rename(kit)


@contextmanager
def replaced(kit: Path) -> Iterator[Path]:
    """An empty private folder that takes the place of ``kit`` when all went well.

    The former kit stands aside for an instant; if the second renaming fails it comes back.
    """
    former = _former(kit)
    with _one_line(kit), _beside(kit) as stage:
        yield stage
        kit.rename(former)
        try:
            stage.rename(kit)
        except BaseException:
            former.rename(kit)
            raise
        shutil.rmtree(former, ignore_errors=True)
        if former.exists():
            raise FederationError(f"{kit} is changed, but {former} cannot be deleted: delete it")


def find_kit(kit: Path) -> Path:
    """Where a kit that is to be changed really is; refuse what an interrupted change left."""
    kit = kit.resolve()
    former = _former(kit)
    if former.exists():
        remedy = f"delete {former}" if kit.exists() else f"rename {former} to {kit}"
        raise FederationError(f"an earlier change of {kit} was interrupted: {remedy}")
    if not kit.is_dir():
        raise FederationError(f"{kit}: no such kit; make one with --server and --site")
    return kit


def _former(kit: Path) -> Path:
    return kit.with_name(f"{kit.name}.former")


@contextmanager
def _beside(kit: Path) -> Iterator[Path]:
    """The folder ``kit``.next, which also keeps a second change out."""
    stage = kit.with_name(f"{kit.name}.next")
    try:
        stage.mkdir(mode=0o700)
    except FileExistsError:
        raise FederationError(
            f"{stage} exists: another command is at work, or was interrupted; delete it if not"
        ) from None
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


@contextmanager
def _one_line(kit: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FederationError(f"{kit} cannot be written: {error.strerror or error}") from None
