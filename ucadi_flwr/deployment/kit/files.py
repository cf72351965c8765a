"""Files and folders of a kit: private before they have content, and complete or absent."""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ucadi_flwr.errors import FederationError
from ucadi_flwr.files import atomic
from ucadi_flwr.limits import KIT_FILE_BYTES


def create(path: Path, content: bytes, *, private: bool = False) -> None:
    """Write a new file, of mode 0600 if it is private, else 0644.

    Raises :class:`OSError`; :class:`FileExistsError` where the path exists.
    """
    atomic.create(path, content, mode=0o600 if private else 0o644)


def read(path: Path, *, private: bool = False) -> bytes:
    """Read a file of a kit.

    Args:
        path: the file.
        private: whether it is a secret, which others must not be able to read or change.

    Raises :class:`FederationError` where it cannot be read, is too large for a kit, or is private
    and its mode gives others access.
    """
    try:
        with path.open("rb") as file:
            mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
            content = file.read(KIT_FILE_BYTES + 1)
    except OSError as error:
        raise FederationError(
            f"{path}: cannot be read ({error.strerror}); it belongs to the kit, copy it here again"
        ) from None
    if private and mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise FederationError(
            f"{path}: others may read or change it (mode {mode:04o}); run chmod 600 on it, and "
            "ask for a new one if somebody did"
        )
    if len(content) > KIT_FILE_BYTES:
        raise FederationError(
            f"{path}: larger than {KIT_FILE_BYTES} bytes; this is not a file of a kit"
        )
    return content


def read_start(path: Path) -> bytes:
    """The first :data:`KIT_FILE_BYTES` bytes of a file of any size.

    Raises :class:`FederationError` where it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(KIT_FILE_BYTES)
    except OSError as error:
        raise FederationError(
            f"{path}: cannot be read ({error.strerror}); move it elsewhere"
        ) from None


def read_text(path: Path) -> str:
    """Read a file of a kit as UTF-8; raises :class:`FederationError` as :func:`read` does."""
    try:
        return read(path).decode()
    except UnicodeDecodeError:
        raise FederationError(f"{path}: this is not UTF-8 text") from None


@contextmanager
def new_kit(kit: Path) -> Iterator[Path]:
    """Yield an empty private folder, which becomes ``kit`` if the block ends without an error.

    After an error the folder is removed. Raises :class:`FederationError` where ``kit`` exists or
    cannot be written.
    """
    with _reporting_disk_errors(kit):
        if kit.exists() or kit.is_symlink():
            raise FederationError(f"{kit} exists already; it is not overwritten, name another one")
        with _stage(kit) as stage:
            yield stage
            stage.rename(kit)


@contextmanager
def changed_kit(kit: Path) -> Iterator[Path]:
    """Yield an empty private folder, which replaces ``kit`` if the block ends without an error.

    The former kit is renamed, replaced and then deleted; if the replacement fails, it gets its name
    back. Raises :class:`FederationError` where another change is in progress, or the disk fails.
    """
    former = _former(kit)
    with _reporting_disk_errors(kit), _stage(kit) as stage:
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
    """The real folder of a kit that is to be changed.

    Raises :class:`FederationError` where there is no kit, or an earlier change was interrupted.
    """
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
def _stage(kit: Path) -> Iterator[Path]:
    """The folder ``kit``.next; while it exists, a second change is refused."""
    stage = kit.with_name(f"{kit.name}.next")
    try:
        stage.mkdir(mode=0o700)
    except FileExistsError:
        raise FederationError(
            f"{stage} exists: another command is changing the kit, or was interrupted; delete the "
            "folder if no command is running"
        ) from None
    try:
        yield stage
    finally:
        shutil.rmtree(stage, ignore_errors=True)


@contextmanager
def _reporting_disk_errors(kit: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise FederationError(f"{kit} cannot be written: {error.strerror or error}") from None
