"""Real chest CT (TCIA Lung-PET-CT-Dx, JPEG-LS) through ``prepare``, against other readers."""

import csv
from pathlib import Path

import gdcm
import nibabel
import numpy as np
import pydicom
import pytest
import SimpleITK
from helpers.dicom_factory import transcode
from pydicom.uid import JPEGLSLossless

from ucadi_flwr.data.dicom import read_volume
from ucadi_flwr.data.prepare import PrepareResult, prepare

pytestmark = pytest.mark.real_data

KEPT_FOLDERS = {"Lung_Dx-A0001_s2", "Lung_Dx-A0001_s3"}


@pytest.fixture(scope="module")
def dicom(real_data: Path) -> Path:
    """The folder with the four series."""
    return real_data / "ct_lung_dx_dicom"


@pytest.fixture(scope="module")
def prepared(dicom: Path, tmp_path_factory: pytest.TempPathFactory) -> PrepareResult:
    return prepare(dicom, tmp_path_factory.mktemp("real") / "site")


@pytest.fixture(scope="module")
def folders(prepared: PrepareResult) -> dict[str, str]:
    """Name → folder, from the key."""
    with prepared.key.open(encoding="utf-8", newline="") as file:
        return {row["name"]: row["folder"] for row in csv.DictReader(file, delimiter="\t")}


def test_data_is_jpeg_ls(dicom: Path) -> None:
    syntaxes = {
        pydicom.filereader.read_file_meta_info(path).TransferSyntaxUID
        for path in dicom.rglob("*.dcm")
    }
    assert syntaxes == {JPEGLSLossless}


def test_two_philips_series_are_kept(prepared: PrepareResult, folders: dict[str, str]) -> None:
    assert {folders[kept.name] for kept in prepared.kept} == KEPT_FOLDERS
    assert {kept.kernel for kept in prepared.kept} == {"L", "B"}
    for kept in prepared.kept:
        assert (kept.columns, kept.rows, kept.slices) == (512, 512, 64)
        assert (kept.spacing_z_mm, kept.manufacturer, kept.contrast) == (5.0, "Philips", "no")
        assert kept.spacing_x_mm == kept.spacing_y_mm == pytest.approx(0.841796875, abs=1e-4)


def test_two_short_siemens_series_are_excluded(
    prepared: PrepareResult, folders: dict[str, str]
) -> None:
    assert {folders[row.name] for row in prepared.excluded} == set(folders.values()) - KEPT_FOLDERS
    assert [(row.reason, row.slices, row.detail) for row in prepared.excluded] == [
        ("too few slices", 30, "30 slices, at least 40 needed")
    ] * 2


def test_nifti_is_what_simpleitk_reads_from_dicom(
    prepared: PrepareResult, folders: dict[str, str], dicom: Path
) -> None:
    assert len(prepared.kept) == 2
    for kept in prepared.kept:
        reader = SimpleITK.ImageSeriesReader()
        files = reader.GetGDCMSeriesFileNames(str(dicom / folders[kept.name]))
        reader.SetFileNames(files)
        theirs = reader.Execute()
        ours = nibabel.load(prepared.output / "images" / f"{kept.name}.nii.gz")
        hu = SimpleITK.GetArrayFromImage(theirs)  # (slices, rows, columns)
        np.testing.assert_array_equal(np.asarray(ours.dataobj).T, hu)
        assert ours.get_data_dtype() == np.int16
        assert (hu.min(), hu.max() > 1000) == (-1024, True)
        np.testing.assert_allclose(ours.header.get_zooms(), theirs.GetSpacing(), rtol=1e-6)
        to_ras = np.diag([-1.0, -1.0, 1.0])  # ITK uses LPS, NIfTI RAS
        np.testing.assert_allclose(ours.affine[:3, 3], to_ras @ theirs.GetOrigin(), atol=1e-4)
        direction = np.array(theirs.GetDirection()).reshape(3, 3)
        expected = to_ras @ direction @ np.diag(theirs.GetSpacing())
        np.testing.assert_allclose(ours.affine[:3, :3], expected, atol=1e-5)


def test_nifti_in_simpleitk_has_the_positions_of_dicom(
    prepared: PrepareResult, folders: dict[str, str], dicom: Path
) -> None:
    kept = prepared.kept[0]
    path = prepared.output / "images" / f"{kept.name}.nii.gz"
    ours = SimpleITK.ReadImage(str(path))
    reader = SimpleITK.ImageSeriesReader()
    reader.SetFileNames(reader.GetGDCMSeriesFileNames(str(dicom / folders[kept.name])))
    theirs = reader.Execute()
    for corner in ((0, 0, 0), (511, 0, 63), (100, 400, 17)):
        np.testing.assert_allclose(
            ours.TransformIndexToPhysicalPoint(corner),
            theirs.TransformIndexToPhysicalPoint(corner),
            atol=1e-3,
        )
        assert ours.GetPixel(*corner) == theirs.GetPixel(*corner)


def test_a_listed_folder_reads_as_the_same_volume(
    prepared: PrepareResult, folders: dict[str, str], dicom: Path
) -> None:
    kept = prepared.kept[0]
    volume = read_volume(dicom / folders[kept.name])
    image = nibabel.load(prepared.output / "images" / f"{kept.name}.nii.gz")
    np.testing.assert_array_equal(volume.hu.T, np.asarray(image.dataobj))
    np.testing.assert_allclose(volume.affine, image.affine, atol=1e-5)


def test_jpeg_lossless_copy_gives_the_same_volume(dicom: Path, tmp_path: Path) -> None:
    source = dicom / "Lung_Dx-A0002_s2"
    for path in source.iterdir():
        image = pydicom.dcmread(path)
        image.decompress(generate_instance_uid=False)
        image.save_as(tmp_path / path.name)
        transcode(tmp_path / path.name, gdcm.TransferSyntax.JPEGLosslessProcess14_1)
    theirs, ours = read_volume(source), read_volume(tmp_path)
    np.testing.assert_array_equal(ours.hu, theirs.hu)
    np.testing.assert_allclose(ours.affine, theirs.affine)


def test_a_short_series_passes_with_a_lower_minimum(
    dicom: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    out = tmp_path_factory.mktemp("real") / "short"
    result = prepare(dicom / "Lung_Dx-A0002_s2", out, min_slices=30)
    (kept,) = result.kept
    assert (kept.slices, kept.spacing_z_mm, kept.kernel) == (30, 8.0, "B70f")
