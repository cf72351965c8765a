"""The folder of a site for the tests of manifests."""

from pathlib import Path

import pytest


@pytest.fixture
def site_folder(tmp_path: Path) -> Path:
    """A site's folder with images a … d of every kind, and no manifest yet."""
    root = tmp_path / "hospital"
    (root / "images").mkdir(parents=True)
    (root / "images" / "a.nii.gz").touch()
    (root / "images" / "b.PNG").touch()
    (root / "c.jpeg").touch()
    (root / "images" / "d").mkdir()
    return root
