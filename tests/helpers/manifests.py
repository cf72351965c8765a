"""Write a site's manifest, and read it where that is an error."""

from pathlib import Path

import pytest

from ucadi_flwr.data.manifest import read_manifest
from ucadi_flwr.errors import DataError

LABELS = ["covid", "healthy"]
HEADER = "name,label,patient"


def write_manifest(
    folder: Path, *lines: str, name: str = "manifest.csv", newline: str = "\n"
) -> Path:
    path = folder / name
    path.write_bytes((newline.join(lines) + newline).encode())
    return path


def manifest_error(folder: Path, labels: list[str] = LABELS) -> str:
    with pytest.raises(DataError) as caught:
        read_manifest(folder, labels)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert str(folder) in message
    assert len(message) < 800
    return message.replace(f"{folder / 'manifest.csv'}: ", "").replace(f"{folder}: ", "")
