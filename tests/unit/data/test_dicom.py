"""A DICOM tree → series → HU with geometry: the ways scanners write, and the ways it goes wrong."""

import math
from pathlib import Path

import numpy as np
import pydicom
import pytest
from helpers.dicom_factory import AXIAL, CORONAL, OBLIQUE, truncate, write_series
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    EnhancedCTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from ucadi_flwr.data import series as rules
from ucadi_flwr.data.dicom import Volume, decode_series, find_series, read_volume
from ucadi_flwr.data.series import Excluded, Reason, inspect_series
from ucadi_flwr.errors import DataError


def read_only_series(folder: Path, min_slices: int = 2) -> Volume:
    (series,) = find_series(folder).series
    return decode_series(series, inspect_series(series, min_slices))


def verdict(folder: Path, min_slices: int = 2) -> Excluded:
    with pytest.raises(Excluded) as caught:
        read_only_series(folder, min_slices)
    assert str(caught.value) == f"{caught.value.reason}: {caught.value.detail}"
    assert "\n" not in str(caught.value)
    return caught.value


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
    volume = read_only_series(tmp_path)
    assert stored_as == {syntax}
    assert volume.hu.dtype == np.int16
    np.testing.assert_array_equal(volume.hu, hu)


@pytest.mark.parametrize("orientation", [AXIAL, CORONAL, OBLIQUE])
def test_affine_takes_every_voxel_where_its_header_says(
    tmp_path: Path, orientation: tuple[float, ...]
) -> None:
    write_series(tmp_path, orientation=orientation, rows=3, columns=4)
    volume = read_only_series(tmp_path)
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
    volume = read_only_series(tmp_path)
    expected = [(k + 1) * stored[k] - 1000 - k for k in range(3)]
    np.testing.assert_array_equal(volume.hu, expected)
    assert volume.hu.dtype == np.int16


@pytest.mark.parametrize("slope", ["0.5", "20"], ids=["fraction", "beyond int16"])
def test_hu_that_int16_would_spoil_are_float32(tmp_path: Path, slope: str) -> None:
    def rescale(header: pydicom.Dataset, k: int) -> None:
        if k == 3:
            header.RescaleSlope = slope

    hu = write_series(tmp_path, edit=rescale).astype(np.float64)
    hu[3] = (hu[3] + 1024) * float(slope) - 1024
    volume = read_only_series(tmp_path)
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
    volume = read_only_series(tmp_path)
    assert set(np.unique(volume.hu)) == {-3024, -924}


def test_tree_is_grouped_by_series_and_other_files_are_counted(tmp_path: Path) -> None:
    one = write_series(tmp_path / "a" / "b", series="1", slices=3)
    write_series(tmp_path / "a", series="2", slices=4)
    write_series(tmp_path / "z", series="1", slices=2, patient_id="ANOTHER")
    (tmp_path / "notes.xml").write_text("<xml/>")
    (tmp_path / "empty.dcm").touch()
    directory = pydicom.dcmread(next((tmp_path / "a" / "b").iterdir()))
    del directory.SeriesInstanceUID
    directory.save_as(tmp_path / "DICOMDIR")
    scan = find_series(tmp_path)
    found = [(series.patient_id, len(series.slices)) for series in scan.series]
    assert sorted(found) == [("ANOTHER", 2), ("HOSPITAL-4711", 3), ("HOSPITAL-4711", 4)]
    assert [s.patient_id for s in scan.series] == ["ANOTHER", "HOSPITAL-4711", "HOSPITAL-4711"]
    assert (scan.unreadable, scan.other_files) == ((), 3)
    np.testing.assert_array_equal(read_volume(tmp_path / "a" / "b").hu, one)


def test_linked_folders_are_not_entered(tmp_path: Path) -> None:
    write_series(tmp_path / "outside")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link").symlink_to(tmp_path / "outside")
    (inside / "loop").symlink_to(inside)
    assert find_series(inside).series == ()


def test_missing_root_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        find_series(tmp_path / "absent")


def test_folder_that_may_not_be_listed_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shut = tmp_path / "shut"

    def walk(root: Path, onerror: object) -> list[tuple[str, list[str], list[str]]]:
        assert callable(onerror)
        onerror(PermissionError(13, "Permission denied", str(shut)))
        return []

    monkeypatch.setattr("ucadi_flwr.data.dicom.os.walk", walk)
    assert find_series(tmp_path).unreadable == (shut,)


def test_too_few_slices_says_how_many(tmp_path: Path) -> None:
    write_series(tmp_path, slices=39, rows=2, columns=2)
    error = verdict(tmp_path, min_slices=40)
    assert error.reason is Reason.TOO_FEW_SLICES
    assert error.detail == "39 slices, at least 40 needed"
    assert read_only_series(tmp_path, min_slices=39).hu.shape == (39, 2, 2)


@pytest.mark.parametrize(
    ("values", "reason", "detail"),
    [
        ({"Modality": "MR"}, Reason.NOT_CT, "'MR'"),
        ({"SOPClassUID": SecondaryCaptureImageStorage}, Reason.NOT_CT, "Secondary Capture"),
        ({"ImageType": ["ORIGINAL", "PRIMARY", "LOCALIZER"]}, Reason.LOCALISER, "5 of 5"),
        ({"NumberOfFrames": 9}, Reason.MULTI_FRAME, "single-frame"),
        ({"SOPClassUID": EnhancedCTImageStorage}, Reason.NOT_CT, "Enhanced CT"),
        ({"RescaleSlope": None}, Reason.NO_HOUNSFIELD_SCALE, "5 of 5"),
        ({"RescaleSlope": "0"}, Reason.NO_HOUNSFIELD_SCALE, "5 of 5"),
        ({"RescaleIntercept": None}, Reason.NO_HOUNSFIELD_SCALE, "5 of 5"),
        ({"RescaleIntercept": "1e9"}, Reason.NO_HOUNSFIELD_SCALE, "5 of 5"),
        ({"RescaleType": "Z_EFF"}, Reason.NO_HOUNSFIELD_SCALE, "'Z_EFF'"),
        ({"ImagePositionPatient": None}, Reason.INCONSISTENT_GEOMETRY, "5 of 5 images lack"),
        ({"ImagePositionPatient": [0, 0]}, Reason.INCONSISTENT_GEOMETRY, "5 of 5 images lack"),
        ({"PixelSpacing": [0, 1]}, Reason.INCONSISTENT_GEOMETRY, "not positive"),
        ({"ImageOrientationPatient": [1, 0, 0, 1, 0, 0]}, Reason.INCONSISTENT_GEOMETRY, "angle"),
        ({"ImageOrientationPatient": [0] * 6}, Reason.INCONSISTENT_GEOMETRY, "angle"),
        ({"Rows": None}, Reason.UNREADABLE, "no image size"),
    ],
)
def test_header_that_rules_a_series_out(
    tmp_path: Path, values: dict[str, object], reason: Reason, detail: str
) -> None:
    write_series(tmp_path, **values)
    error = verdict(tmp_path)
    assert (error.reason, detail in error.detail) == (reason, True), error


@pytest.mark.parametrize("type_", ["", None, "HU", "US"])
def test_rescale_type_may_be_hu_or_unsaid(tmp_path: Path, type_: str | None) -> None:
    hu = write_series(tmp_path, RescaleType=type_)
    np.testing.assert_array_equal(read_only_series(tmp_path).hu, hu)


def test_one_scout_among_the_slices_rules_the_series_out(tmp_path: Path) -> None:
    def scout(header: pydicom.Dataset, k: int) -> None:
        if k == 0:
            header.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]

    write_series(tmp_path, edit=scout)
    assert verdict(tmp_path).detail.startswith("1 of 5 images")


@pytest.mark.parametrize(
    ("keyword", "value", "detail"),
    [
        ("ImageOrientationPatient", list(CORONAL), "orientations differ"),
        ("PixelSpacing", [0.5, 0.8], "pixel spacings differ"),
    ],
)
def test_one_slice_unlike_the_others(
    tmp_path: Path, keyword: str, value: object, detail: str
) -> None:
    def alter(header: pydicom.Dataset, k: int) -> None:
        if k == 2:
            setattr(header, keyword, value)

    write_series(tmp_path, edit=alter)
    error = verdict(tmp_path)
    assert error.reason is Reason.INCONSISTENT_GEOMETRY
    assert detail in error.detail


def test_mixed_sizes_are_counted(tmp_path: Path) -> None:
    write_series(tmp_path, slices=5)
    write_series(tmp_path / "more", slices=1, rows=7)
    error = verdict(tmp_path)
    assert error.reason is Reason.INCONSISTENT_GEOMETRY
    assert error.detail == "sizes differ: 5 of 8×6, 1 of 8×7"


@pytest.mark.parametrize(
    ("missing", "holes"), [([2], 1), ([1, 2], 2), ([1, 4], 2)], ids=["one", "together", "apart"]
)
def test_missing_slices_are_counted(tmp_path: Path, missing: list[int], holes: int) -> None:
    write_series(tmp_path, slices=8, missing=missing)
    error = verdict(tmp_path)
    assert error.reason is Reason.INCONSISTENT_GEOMETRY
    assert error.detail.startswith(f"{holes} missing between the first and last")


def test_uneven_spacing_tells_the_gaps(tmp_path: Path) -> None:
    def squeeze(header: pydicom.Dataset, k: int) -> None:
        if k == 2:
            header.ImagePositionPatient[2] += 0.7

    write_series(tmp_path, edit=squeeze)
    error = verdict(tmp_path)
    assert error.reason is Reason.INCONSISTENT_GEOMETRY
    assert "from 1.30 to 2.70 mm" in error.detail


def test_rounded_positions_are_still_even(tmp_path: Path) -> None:
    def rounded(header: pydicom.Dataset, k: int) -> None:
        header.ImagePositionPatient = [round(float(v), 1) for v in header.ImagePositionPatient]

    write_series(tmp_path, slices=9, gap=1.25, edit=rounded)
    spacing = np.linalg.norm(read_only_series(tmp_path).affine[:3, :3], axis=0)
    np.testing.assert_allclose(spacing, [0.75, 0.5, 1.25], atol=1e-6)


def test_slices_that_wander_sideways_are_uneven(tmp_path: Path) -> None:
    def wander(header: pydicom.Dataset, k: int) -> None:
        if k == 2:
            header.ImagePositionPatient[0] += 3

    write_series(tmp_path, edit=wander)
    error = verdict(tmp_path)
    assert error.reason is Reason.INCONSISTENT_GEOMETRY
    assert "sideways" in error.detail


def test_copied_files_are_named_as_such(tmp_path: Path) -> None:
    write_series(tmp_path)
    write_series(tmp_path / "copy")
    error = verdict(tmp_path)
    assert error.reason is Reason.INCONSISTENT_GEOMETRY
    assert error.detail.startswith("5 of 10 slices lie where another does")


@pytest.mark.parametrize("degrees", [15.0, -15.0, 0.6])
def test_gantry_tilt_is_told_in_degrees(tmp_path: Path, degrees: float) -> None:
    write_series(tmp_path, tilt_degrees=degrees)
    error = verdict(tmp_path)
    assert error.reason is Reason.GANTRY_TILT
    assert f"{abs(degrees):.1f}°" in error.detail


def test_tilt_below_the_limit_misplaces_no_slice_by_much(tmp_path: Path) -> None:
    hu = write_series(tmp_path, tilt_degrees=0.4, slices=40, rows=2, columns=2)
    volume = read_only_series(tmp_path)
    np.testing.assert_array_equal(volume.hu, hu)
    height = 39 * 2.0
    top = volume.affine @ [0, 0, 39, 1]
    true_top = np.array([10, 20 - height * math.tan(math.radians(0.4)), -30 + height, 1])
    assert np.linalg.norm(top - true_top) < 0.6


def test_tilt_tag_alone_says_nothing(tmp_path: Path) -> None:
    hu = write_series(tmp_path, GantryDetectorTilt="15")
    np.testing.assert_array_equal(read_only_series(tmp_path).hu, hu)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, JPEGLSLossless, JPEGLosslessSV1])
@pytest.mark.parametrize("keep", [0.8, 0.98])
def test_file_cut_short_makes_the_series_unreadable(
    tmp_path: Path, syntax: str, keep: float
) -> None:
    write_series(tmp_path, rows=64, columns=64, syntax=syntax)
    truncate(sorted(tmp_path.iterdir())[3], keep)
    error = verdict(tmp_path)
    assert error.reason is Reason.UNREADABLE
    assert "of 5 is cut short" in error.detail
    with pytest.raises(DataError, match="unreadable: slice") as caught:
        read_volume(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_pixels_that_are_not_what_the_header_promised(tmp_path: Path) -> None:
    write_series(tmp_path, SamplesPerPixel=3, PlanarConfiguration=0, PixelData=bytes(6 * 8 * 2 * 3))
    assert verdict(tmp_path).reason is Reason.UNREADABLE


def test_header_that_does_not_parse_is_listed(tmp_path: Path) -> None:
    write_series(tmp_path)
    broken = sorted(tmp_path.iterdir())[0]
    raw = broken.read_bytes()
    broken.write_bytes(raw[:150] + b"\xff" * 40)
    scan = find_series(tmp_path)
    assert scan.unreadable == (broken,)
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


def test_caps_hold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_series(tmp_path)
    largest = max(path.stat().st_size for path in tmp_path.iterdir())
    monkeypatch.setattr(rules, "VOXELS", 5 * 6 * 8)
    monkeypatch.setattr(rules, "DICOM_FILE_BYTES", largest)
    assert read_only_series(tmp_path).hu.size == 5 * 6 * 8
    monkeypatch.setattr(rules, "VOXELS", 5 * 6 * 8 - 1)
    assert verdict(tmp_path).reason is Reason.TOO_LARGE
    monkeypatch.setattr(rules, "DICOM_FILE_BYTES", largest - 1)
    assert verdict(tmp_path).detail == f"a file of {largest} bytes, at most {largest - 1}"


def test_folder_with_two_series_is_not_one_volume(tmp_path: Path) -> None:
    write_series(tmp_path, series="1")
    write_series(tmp_path, series="2")
    with pytest.raises(DataError, match="2 DICOM series"):
        read_volume(tmp_path)


def test_excluded_names_nobody(tmp_path: Path) -> None:
    write_series(tmp_path / "Doe_Jane", tilt_degrees=9)
    message = str(verdict(tmp_path))
    assert not any(word in message for word in ("Doe", "HOSPITAL", str(tmp_path)))


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(132, 1300), st.integers(0, 255)), min_size=1, max_size=8))
def test_damaged_bytes_never_escape_as_anything_but_a_verdict(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    write_series(folder, slices=2)
    victim = sorted(folder.iterdir())[0]
    raw = bytearray(victim.read_bytes())
    for position, value in changes:
        raw[min(position, len(raw) - 1)] = value
    victim.write_bytes(raw)
    scan = find_series(folder)
    files = sum(len(series.slices) for series in scan.series)
    assert files + len(scan.unreadable) + scan.other_files == 2
    for series in scan.series:
        try:
            volume = decode_series(series, inspect_series(series, 2))
        except Excluded:
            continue
        assert np.isfinite(volume.hu).all()
