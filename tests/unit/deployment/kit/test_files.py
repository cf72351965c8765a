"""Files that are private from the start, and folders that are complete or absent."""

import os
import shutil
import stat
from pathlib import Path
from typing import IO, Any

import pytest

from ucadi_flwr.deployment.kit import files
from ucadi_flwr.errors import FederationError
from ucadi_flwr.limits import KIT_FILE_BYTES


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_private_file_is_private_before_it_has_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[int, int]] = []
    real = os.fdopen

    def spy(descriptor: int, mode: str) -> IO[Any]:
        status = os.fstat(descriptor)
        seen.append((stat.S_IMODE(status.st_mode), status.st_size))
        return real(descriptor, mode)

    monkeypatch.setattr(os, "fdopen", spy)
    former = os.umask(0)
    try:
        files.create(tmp_path / "secret", b"x", private=True)
        files.create(tmp_path / "public", b"y")
    finally:
        os.umask(former)
    assert seen == [(0o600, 0), (0o644, 0)]
    assert files.read(tmp_path / "secret", private=True) == b"x"


def test_nothing_is_overwritten_and_no_link_is_followed(tmp_path: Path) -> None:
    files.create(tmp_path / "a", b"1")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    for name in ("a", "link"):
        with pytest.raises(FileExistsError):
            files.create(tmp_path / name, b"2")
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize("bad", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601])
def test_a_private_file_that_others_may_use_is_refused(tmp_path: Path, bad: int) -> None:
    path = tmp_path / "secret"
    files.create(path, b"x", private=True)
    path.chmod(bad)
    with pytest.raises(FederationError, match=rf"secret: others may .*{bad:04o}.*chmod 600"):
        files.read(path, private=True)
    assert files.read(path) == b"x"


def test_an_unreadable_file_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "large").write_bytes(bytes(KIT_FILE_BYTES + 1))
    (tmp_path / "exact").write_bytes(bytes(KIT_FILE_BYTES))
    (tmp_path / "latin").write_bytes("Köln".encode("latin-1"))
    assert len(files.read(tmp_path / "exact")) == KIT_FILE_BYTES
    assert len(files.read_start(tmp_path / "large")) == KIT_FILE_BYTES
    with pytest.raises(FederationError, match="large: larger than"):
        files.read(tmp_path / "large")
    with pytest.raises(FederationError, match="latin: this is not UTF-8"):
        files.read_text(tmp_path / "latin")
    for read in (files.read, files.read_start):
        with pytest.raises(FederationError, match="gone: cannot be read"):
            read(tmp_path / "gone")


def test_a_new_folder_is_complete(tmp_path: Path) -> None:
    with files.new_kit(tmp_path / "KIT") as stage:
        assert mode(stage) == 0o700
        assert not (tmp_path / "KIT").exists()
        (stage / "file").touch()
    assert [p.name for p in tmp_path.iterdir()] == ["KIT"]
    assert (tmp_path / "KIT" / "file").is_file()


@pytest.mark.parametrize("error", [RuntimeError("no"), KeyboardInterrupt()])
def test_a_failure_leaves_nothing(tmp_path: Path, error: BaseException) -> None:
    def fail() -> None:
        with files.new_kit(tmp_path / "KIT") as stage:
            (stage / "secret").touch()
            raise error

    with pytest.raises(type(error)):
        fail()
    assert list(tmp_path.iterdir()) == []


def test_an_existing_path_is_not_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("folder", "file", "link"):
        with pytest.raises(FederationError, match="exists already"), files.new_kit(tmp_path / name):
            raise AssertionError
    with (
        pytest.raises(FederationError, match="cannot be written: No such file"),
        files.new_kit(tmp_path / "gone" / "KIT"),
    ):
        raise AssertionError
    assert {p.name for p in tmp_path.iterdir()} == {"folder", "file", "link"}


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    kit = tmp_path / "KIT"
    kit.mkdir()
    (kit / "old").touch()
    with files.changed_kit(files.find_kit(kit)) as stage:
        (stage / "new").touch()
        assert [p.name for p in kit.iterdir()] == ["old"]
    assert [p.name for p in kit.iterdir()] == ["new"]
    assert [p.name for p in tmp_path.iterdir()] == ["KIT"]


def test_if_the_replacement_fails_the_former_folder_is_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit, real = tmp_path / "KIT", Path.rename
    kit.mkdir()
    (kit / "old").touch()

    def rename(path: Path, target: Path) -> Path:
        if path.name == "KIT.next":
            raise OSError(5, "Input/output error")
        return real(path, target)

    monkeypatch.setattr(Path, "rename", rename)
    with (
        pytest.raises(FederationError, match="KIT cannot be written: Input/output error"),
        files.changed_kit(kit),
    ):
        pass
    assert [p.name for p in kit.iterdir()] == ["old"]
    assert [p.name for p in tmp_path.iterdir()] == ["KIT"]


def test_only_one_change_at_a_time(tmp_path: Path) -> None:
    kit = tmp_path / "KIT"
    kit.mkdir()
    with files.changed_kit(kit):
        with pytest.raises(FederationError, match=r"KIT\.next exists"), files.changed_kit(kit):
            raise AssertionError
        assert (tmp_path / "KIT.next").is_dir()


def test_an_interrupted_change_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kit, former = tmp_path / "KIT", tmp_path / "KIT.former"
    with pytest.raises(FederationError, match="no such kit"):
        files.find_kit(kit)
    former.mkdir()
    with pytest.raises(FederationError, match=r"rename \S*KIT\.former to \S*KIT$"):
        files.find_kit(kit)
    kit.mkdir()
    with pytest.raises(FederationError, match=r"delete \S*KIT\.former$"):
        files.find_kit(kit)
    former.rmdir()
    monkeypatch.setattr(shutil, "rmtree", lambda path, ignore_errors: None)
    with (
        pytest.raises(FederationError, match=r"is changed, but \S*KIT\.former cannot be deleted"),
        files.changed_kit(kit),
    ):
        pass


def test_a_link_to_a_kit_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    with files.changed_kit(files.find_kit(tmp_path / "link")) as stage:
        (stage / "new").touch()
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "link" / "new").is_file()
