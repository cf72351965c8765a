"""Which series are one volume: the reasons to exclude a series, judged from its headers."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from helpers.dicom_factory import CORONAL, write_series
from helpers.dicom_reading import exclusion, read_single_series
from pydicom.uid import (
    EnhancedCTImageStorage,
    SecondaryCaptureImageStorage,
)

from ucadi_flwr.data import series as rules
from ucadi_flwr.data.series import Reason


def test_too_few_slices_are_reported_with_their_number(tmp_path: Path) -> None:
    write_series(tmp_path, slices=39, rows=2, columns=2)
    error = exclusion(tmp_path, min_slices=40)
    assert error.reason is Reason.TOO_FEW_SLICES
    assert error.detail == "39 slices, at least 40 needed"
    assert read_single_series(tmp_path, min_slices=39).hu.shape == (39, 2, 2)


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
def test_headers_that_exclude_a_series(
    tmp_path: Path, values: dict[str, Any], reason: Reason, detail: str
) -> None:
    write_series(tmp_path, **values)
    error = exclusion(tmp_path)
    assert (error.reason, detail in error.detail) == (reason, True), error


@pytest.mark.parametrize("type_", ["", None, "HU", "US"])
def test_rescale_type_may_be_hu_or_unsaid(tmp_path: Path, type_: str | None) -> None:
    hu = write_series(tmp_path, RescaleType=type_)
    np.testing.assert_array_equal(read_single_series(tmp_path).hu, hu)


def test_one_scout_among_the_slices_excludes_the_series(tmp_path: Path) -> None:
    def scout(header: pydicom.Dataset, k: int) -> None:
        if k == 0:
            header.ImageType = ["ORIGINAL", "PRIMARY", "LOCALIZER"]

    write_series(tmp_path, edit=scout)
    assert exclusion(tmp_path).detail.startswith("1 of 5 images")


@pytest.mark.parametrize(
    ("keyword", "value", "detail"),
    [
        ("ImageOrientationPatient", list(CORONAL), "orientations differ"),
        ("PixelSpacing", [0.5, 0.8], "pixel spacings differ"),
    ],
)
def test_one_slice_that_differs_from_the_others(
    tmp_path: Path, keyword: str, value: object, detail: str
) -> None:
    def alter(header: pydicom.Dataset, k: int) -> None:
        if k == 2:
            setattr(header, keyword, value)

    write_series(tmp_path, edit=alter)
    error = exclusion(tmp_path)
    assert error.reason is Reason.INCONSISTENT_GEOMETRY
    assert detail in error.detail


def test_mixed_sizes_are_counted(tmp_path: Path) -> None:
    write_series(tmp_path, slices=5)
    write_series(tmp_path / "more", slices=1, rows=7)
    error = exclusion(tmp_path)
    assert error.reason is Reason.INCONSISTENT_GEOMETRY
    assert error.detail == "sizes differ: 5 of 8×6, 1 of 8×7"


@pytest.mark.parametrize(
    ("missing", "holes"), [([2], 1), ([1, 2], 2), ([1, 4], 2)], ids=["one", "together", "apart"]
)
def test_missing_slices_are_counted(tmp_path: Path, missing: list[int], holes: int) -> None:
    write_series(tmp_path, slices=8, missing=missing)
    error = exclusion(tmp_path)
    assert error.reason is Reason.INCONSISTENT_GEOMETRY
    assert error.detail.startswith(f"{holes} missing between the first and last")


def test_uneven_spacing_is_reported_with_the_gaps(tmp_path: Path) -> None:
    def squeeze(header: pydicom.Dataset, k: int) -> None:
        if k == 2:
            header.ImagePositionPatient[2] += 0.7

    write_series(tmp_path, edit=squeeze)
    error = exclusion(tmp_path)
    assert error.reason is Reason.INCONSISTENT_GEOMETRY
    assert "from 1.30 to 2.70 mm" in error.detail


def test_rounded_positions_are_still_even(tmp_path: Path) -> None:
    def rounded(header: pydicom.Dataset, k: int) -> None:
        header.ImagePositionPatient = [round(float(v), 1) for v in header.ImagePositionPatient]

    write_series(tmp_path, slices=9, gap=1.25, edit=rounded)
    spacing = np.linalg.norm(read_single_series(tmp_path).affine[:3, :3], axis=0)
    np.testing.assert_allclose(spacing, [0.75, 0.5, 1.25], atol=1e-6)


def test_slices_that_are_shifted_sideways_are_uneven(tmp_path: Path) -> None:
    def shift(header: pydicom.Dataset, k: int) -> None:
        if k == 2:
            header.ImagePositionPatient[0] += 3

    write_series(tmp_path, edit=shift)
    error = exclusion(tmp_path)
    assert error.reason is Reason.INCONSISTENT_GEOMETRY
    assert "sideways" in error.detail


def test_copied_files_are_reported(tmp_path: Path) -> None:
    write_series(tmp_path)
    write_series(tmp_path / "copy")
    error = exclusion(tmp_path)
    assert error.reason is Reason.INCONSISTENT_GEOMETRY
    assert error.detail.startswith("5 of 10 slices lie where another does")


@pytest.mark.parametrize("degrees", [15.0, -15.0, 0.6])
def test_gantry_tilt_is_reported_in_degrees(tmp_path: Path, degrees: float) -> None:
    write_series(tmp_path, tilt_degrees=degrees)
    error = exclusion(tmp_path)
    assert error.reason is Reason.GANTRY_TILT
    assert f"{abs(degrees):.1f}°" in error.detail


def test_tilt_below_the_limit_moves_slices_by_less_than_a_millimetre(tmp_path: Path) -> None:
    hu = write_series(tmp_path, tilt_degrees=0.4, slices=40, rows=2, columns=2)
    volume = read_single_series(tmp_path)
    np.testing.assert_array_equal(volume.hu, hu)
    height = 39 * 2.0
    top = volume.affine @ [0, 0, 39, 1]
    true_top = np.array([10, 20 - height * math.tan(math.radians(0.4)), -30 + height, 1])
    assert np.linalg.norm(top - true_top) < 0.6


def test_the_tilt_tag_alone_is_ignored(tmp_path: Path) -> None:
    hu = write_series(tmp_path, GantryDetectorTilt="15")
    np.testing.assert_array_equal(read_single_series(tmp_path).hu, hu)


def test_size_limits_apply(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_series(tmp_path)
    largest = max(path.stat().st_size for path in tmp_path.iterdir())
    monkeypatch.setattr(rules, "VOXELS", 5 * 6 * 8)
    monkeypatch.setattr(rules, "DICOM_FILE_BYTES", largest)
    assert read_single_series(tmp_path).hu.size == 5 * 6 * 8
    monkeypatch.setattr(rules, "VOXELS", 5 * 6 * 8 - 1)
    assert exclusion(tmp_path).reason is Reason.TOO_LARGE
    monkeypatch.setattr(rules, "DICOM_FILE_BYTES", largest - 1)
    assert exclusion(tmp_path).detail == f"a file of {largest} bytes, at most {largest - 1}"


def test_an_exclusion_contains_no_identifiers(tmp_path: Path) -> None:
    write_series(tmp_path / "Doe_Jane", tilt_degrees=9)
    message = str(exclusion(tmp_path))
    assert not any(word in message for word in ("Doe", "HOSPITAL", str(tmp_path)))
