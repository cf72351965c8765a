"""Kits: of three sites with encryption, and of two sites without."""

from pathlib import Path

import pytest

from ucadi_flwr.deployment.kit import commands


@pytest.fixture(scope="session")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kits") / "KIT"
    commands.make(folder, "fl.example.org:8443", ["A", "B", "C"], "bfv")
    return folder


@pytest.fixture(scope="session")
def plain_kit(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("kits") / "KIT"
    commands.make(folder, "10.0.0.7:8443", ["A", "B"], "none")
    return folder
