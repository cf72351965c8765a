"""Slices of real chest CT: each shows lung and has the voxels that ``read_ct`` returns."""

import csv
from pathlib import Path

import nibabel
import numpy as np
import pytest
from PIL import Image

from ucadi_flwr.data.manifest import read_manifest
from ucadi_flwr.data.prepare import prepare
from ucadi_flwr.data.slices import SliceSelection, extract_slices, selected_slices
from ucadi_flwr.data.transforms import read_ct

pytestmark = pytest.mark.real_data


def lung_mask(folder: Path) -> np.ndarray:
    """(z, y, x) in the orientation of ``read_ct``: front to back, right to left."""
    with (folder / "structures.csv").open(encoding="utf-8") as file:
        lobes = [int(r["id"]) for r in csv.DictReader(file) if "lung" in r["structure"]]
    return np.isin(read_ct(folder / "LIDC-IDRI-0001_structures.nii.gz")[0].numpy(), lobes)


def test_every_slice_of_the_middle_half_shows_lung(real_data: Path, tmp_path: Path) -> None:
    source = real_data / "ct_lidc_nifti" / "LIDC-IDRI-0001.nii.gz"
    site = tmp_path / "site"
    site.mkdir()
    (site / source.name).write_bytes(source.read_bytes())
    lines = "file,label,patient,split\n" + f"{source.name},normal,p1,train\n"
    (site / "manifest.csv").write_text(lines, encoding="utf-8")
    images, excluded = extract_slices(site, tmp_path / "out", SliceSelection())
    assert (len(images), excluded) == (10, [])
    lung = lung_mask(source.parent)
    stored = np.asarray(nibabel.load(source).dataobj)  # LAS: right to left, front at the end
    assert nibabel.aff2axcodes(nibabel.load(source).affine) == ("L", "A", "S")
    for image, z in zip(images, selected_slices(lung.shape[0], SliceSelection()), strict=True):
        grey = np.asarray(Image.open(tmp_path / "out" / image.file))
        assert image.file == f"images/LIDC-IDRI-0001-z{z:03d}.png"
        assert lung[z].mean() > 0.02
        assert np.median(grey[lung[z]]) < 85  # -600 HU
        expected = np.interp(stored[:, ::-1, z].T, [-1200, 600], [0, 255])
        assert np.abs(grey - expected).max() <= 0.5 + 1e-9


def test_slices_are_extracted_from_a_prepared_tree_with_labels(
    real_data: Path, tmp_path: Path
) -> None:
    result = prepare(real_data / "ct_lung_dx_dicom", tmp_path / "site")
    manifest = result.output / "manifest.csv"
    text = manifest.read_text(encoding="utf-8")
    for kept in result.kept:
        text = text.replace(f"{kept.name},,", f"{kept.name},pneumonia,")
    manifest.write_text(text, encoding="utf-8")
    extract_slices(result.output, tmp_path / "out", SliceSelection(4))
    cases = read_manifest(tmp_path / "out", ["pneumonia"])
    assert len(cases) == 8
    assert {case.patient for case in cases} == {"p001"}
    assert {case.name.split("/")[1][:8] for case in cases} == {"p001-s01", "p001-s02"}
