"""A DICOM tree → series → HU with geometry: what scanners write, and damaged or wrong files."""

from pathlib import Path

import numpy as np
import pydicom
import pytest
from helpers.dicom_factory import AXIAL, CORONAL, OBLIQUE, truncate, write_series
from helpers.dicom_reading import exclusion, read_single_series
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from ucadi_flwr.data.dicom import decode_series, find_series, read_volume
from ucadi_flwr.data.series import ExclusionError, Reason, inspect_series
from ucadi_flwr.errors import DataError


@pytest.mark.parametrize(
    "syntax",
    [
        ExplicitVRLittleEndian,
        ImplicitVRLittleEndian,
        RLELossless,
        JPEGLSLossless,
        JPEGLosslessSV1,
        JPEG2000Lossless,
    ],
    ids=lambda uid: uid.keyword,
)
def test_every_lossless_syntax_gives_the_same_hu(tmp_path: Path, syntax: pydicom.uid.UID) -> None:
    hu = write_series(tmp_path, rows=16, columns=24, syntax=syntax)
    stored_as = {pydicom.dcmread(path).file_meta.TransferSyntaxUID for path in tmp_path.iterdir()}
    volume = read_single_series(tmp_path)
    assert stored_as == {syntax}
    assert volume.hu.dtype == np.int16
    np.testing.assert_array_equal(volume.hu, hu)


@pytest.mark.parametrize("orientation", [AXIAL, CORONAL, OBLIQUE])
def test_affine_maps_every_voxel_to_the_position_in_its_header(
    tmp_path: Path, orientation: tuple[float, ...]
) -> None:
    write_series(tmp_path, orientation=orientation, rows=3, columns=4)
    volume = read_single_series(tmp_path)
    ordered = sorted(
        (pydicom.dcmread(path) for path in tmp_path.iterdir()), key=lambda d: int(d.InstanceNumber)
    )
    for k, header in enumerate(ordered):
        along, down = np.array(header.ImageOrientationPatient, float).reshape(2, 3)
        between_rows, between_columns = (float(v) for v in header.PixelSpacing)
        stored = header.pixel_array
        for j, i in np.ndindex(3, 4):  # PS3.3 equation C.7.6.2.1-1, written out
            lps = np.array(header.ImagePositionPatient, float)
            lps = lps + along * between_columns * i + down * between_rows * j
            ras = lps * [-1, -1, 1]
            np.testing.assert_allclose(volume.affine @ [i, j, k, 1], [*ras, 1], atol=1e-5)
            assert volume.hu[k, j, i] == int(stored[j, i]) - 1024


def test_slope_and_intercept_are_each_slices_own(tmp_path: Path) -> None:
    def rescale(header: pydicom.Dataset, k: int) -> None:
        header.RescaleSlope, header.RescaleIntercept = str(k + 1), str(-1000 - k)

    stored = write_series(tmp_path, slices=3, edit=rescale).astype(int) + 1024
    volume = read_single_series(tmp_path)
    expected = [(k + 1) * stored[k] - 1000 - k for k in range(3)]
    np.testing.assert_array_equal(volume.hu, expected)
    assert volume.hu.dtype == np.int16


@pytest.mark.parametrize("slope", ["0.5", "20"], ids=["fraction", "beyond int16"])
def test_hu_that_int16_would_change_are_float32(tmp_path: Path, slope: str) -> None:
    def rescale(header: pydicom.Dataset, k: int) -> None:
        if k == 3:
            header.RescaleSlope = slope

    hu = write_series(tmp_path, edit=rescale).astype(np.float64)
    hu[3] = (hu[3] + 1024) * float(slope) - 1024
    volume = read_single_series(tmp_path)
    assert volume.hu.dtype == np.float32
    np.testing.assert_array_equal(volume.hu, hu)


def test_padding_outside_the_circle_is_kept(tmp_path: Path) -> None:
    def pad(header: pydicom.Dataset, k: int) -> None:
        signed = np.full((6, 8), 100, dtype=np.int16)
        signed[0, 0] = -2000
        header.PixelRepresentation, header.BitsStored, header.HighBit = 1, 16, 15
        header.add_new("PixelPaddingValue", "SS", -2000)
        header.PixelData = signed.tobytes()

    write_series(tmp_path, edit=pad)
    volume = read_single_series(tmp_path)
    assert set(np.unique(volume.hu)) == {-3024, -924}


def test_tree_is_grouped_by_series_and_other_files_are_counted(tmp_path: Path) -> None:
    hu = write_series(tmp_path / "a" / "b", series="1", slices=3)
    write_series(tmp_path / "a", series="2", slices=4)
    write_series(tmp_path / "z", series="1", slices=2, patient_id="ANOTHER")
    (tmp_path / "notes.xml").write_text("<xml/>")
    (tmp_path / "empty.dcm").touch()
    directory = pydicom.dcmread(next((tmp_path / "a" / "b").iterdir()))
    del directory.SeriesInstanceUID
    directory.save_as(tmp_path / "DICOMDIR")
    tree = find_series(tmp_path)
    sizes = [(series.patient_id, len(series.slices)) for series in tree.series]
    assert sorted(sizes) == [("ANOTHER", 2), ("HOSPITAL-4711", 3), ("HOSPITAL-4711", 4)]
    assert [s.patient_id for s in tree.series] == ["ANOTHER", "HOSPITAL-4711", "HOSPITAL-4711"]
    assert (tree.unreadable, tree.other_files) == ((), 3)
    np.testing.assert_array_equal(read_volume(tmp_path / "a" / "b").hu, hu)


def test_links_to_folders_are_not_followed(tmp_path: Path) -> None:
    write_series(tmp_path / "outside")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link").symlink_to(tmp_path / "outside")
    (inside / "loop").symlink_to(inside)
    assert find_series(inside).series == ()


def test_a_missing_root_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        find_series(tmp_path / "absent")


def test_a_folder_that_cannot_be_listed_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shut = tmp_path / "shut"

    def walk(root: Path, onerror: object) -> list[tuple[str, list[str], list[str]]]:
        assert callable(onerror)
        onerror(PermissionError(13, "Permission denied", str(shut)))
        return []

    monkeypatch.setattr("ucadi_flwr.data.dicom.os.walk", walk)
    assert find_series(tmp_path).unreadable == (shut,)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, JPEGLSLossless, JPEGLosslessSV1])
@pytest.mark.parametrize("keep", [0.8, 0.98])
def test_file_cut_short_makes_the_series_unreadable(
    tmp_path: Path, syntax: UID, keep: float
) -> None:
    write_series(tmp_path, rows=64, columns=64, syntax=syntax)
    truncate(sorted(tmp_path.iterdir())[3], keep)
    error = exclusion(tmp_path)
    assert error.reason is Reason.UNREADABLE
    assert "of 5 is cut short" in error.detail
    with pytest.raises(DataError, match="unreadable: slice") as caught:
        read_volume(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_pixels_that_do_not_match_the_header(tmp_path: Path) -> None:
    write_series(tmp_path, SamplesPerPixel=3, PlanarConfiguration=0, PixelData=bytes(6 * 8 * 2 * 3))
    assert exclusion(tmp_path).reason is Reason.UNREADABLE


def test_header_that_does_not_parse_is_listed(tmp_path: Path) -> None:
    write_series(tmp_path)
    broken = sorted(tmp_path.iterdir())[0]
    raw = broken.read_bytes()
    broken.write_bytes(raw[:150] + b"\xff" * 40)
    assert find_series(tmp_path).unreadable == (broken,)
    with pytest.raises(DataError, match="1 DICOM series and 1 unreadable files"):
        read_volume(tmp_path)


def test_deflated_file_is_not_inflated(tmp_path: Path) -> None:
    write_series(tmp_path, slices=2)
    path = sorted(tmp_path.iterdir())[0]
    header = pydicom.dcmread(path)
    header.file_meta.TransferSyntaxUID = DeflatedExplicitVRLittleEndian
    header.save_as(path)
    assert pydicom.dcmread(path).Modality == "CT"
    assert find_series(tmp_path).unreadable == (path,)


def test_folder_with_two_series_is_not_one_volume(tmp_path: Path) -> None:
    write_series(tmp_path, series="1")
    write_series(tmp_path, series="2")
    with pytest.raises(DataError, match="2 DICOM series"):
        read_volume(tmp_path)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(132, 1300), st.integers(0, 255)), min_size=1, max_size=8))
def test_damaged_bytes_raise_only_exclusion_errors(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    write_series(folder, slices=2)
    damaged = sorted(folder.iterdir())[0]
    raw = bytearray(damaged.read_bytes())
    for position, value in changes:
        raw[min(position, len(raw) - 1)] = value
    damaged.write_bytes(raw)
    tree = find_series(folder)
    files = sum(len(series.slices) for series in tree.series)
    assert files + len(tree.unreadable) + tree.other_files == 2
    for series in tree.series:
        try:
            volume = decode_series(series, inspect_series(series, 2))
        except ExclusionError:
            continue
        assert np.isfinite(volume.hu).all()
