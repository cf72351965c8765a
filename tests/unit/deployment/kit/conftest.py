"""A kit to read, and copies of it to change."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ucadi_flwr.deployment.kit import commands

SERVER = "fl.example.org:8443"


@pytest.fixture(scope="session")
def kit_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kit of two sites with bfv; tests only read it."""
    kit = tmp_path_factory.mktemp("kit") / "KIT"
    commands.make(kit, SERVER, ["A", "B"], "bfv")
    return kit


@pytest.fixture
def kit(kit_once: Path, tmp_path: Path) -> Path:
    """A copy of that kit, which one test may change."""
    return Path(shutil.copytree(kit_once, tmp_path / "KIT"))


@pytest.fixture
def contents() -> Callable[[Path], dict[str, bytes]]:
    """Every file of a folder, by its path."""

    def read(folder: Path) -> dict[str, bytes]:
        return {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    return read
