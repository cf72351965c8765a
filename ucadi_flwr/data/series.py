"""Decide from headers whether a CT series is one volume, and where its voxels lie; no I/O.

Sources: S0 Methods (exclusion); DICOM PS3.3 C.7.6.2.1.1 (plane geometry) and C.8.2.1 (CT image,
rescale). highdicom sorts the slices, checks that they are regular, and computes the affine matrix.
"""

import math
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

import highdicom.spatial
import numpy as np
from numpy.typing import NDArray
from pydicom.config import IGNORE
from pydicom.uid import UID, CTImageStorage

from ucadi_flwr.errors import DataError
from ucadi_flwr.limits import DICOM_FILE_BYTES, VOXELS

MIN_SLICES = 40
"""A series with fewer slices is excluded (S0)."""
MAX_TILT_DEGREES = 0.5
"""With more tilt, slices would be millimetres away from their place in an upright volume."""
SPACING_TOLERANCE = 0.1
"""Share of the mean gap by which one gap may differ; some exports round the positions."""
_SAME_COSINE = 1e-3  # 0.06°
_SAME_PLACE = 1e-2  # mm


class Reason(StrEnum):
    """Why a series is excluded; people read the value in ``excluded.csv``."""

    NOT_CT = "not a CT image"
    LOCALISER = "localiser"
    MULTI_FRAME = "multi-frame object"
    NO_PATIENT_ID = "no patient ID"
    TOO_FEW_SLICES = "too few slices"
    TOO_LARGE = "too large"
    NO_HOUNSFIELD_SCALE = "no Hounsfield scale"
    INCONSISTENT_GEOMETRY = "inconsistent geometry"
    GANTRY_TILT = "gantry tilt"
    UNREADABLE = "unreadable"


class ExclusionError(DataError):
    """A series that cannot be used: a reason, and one line of detail without identifiers."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class SliceHeader:
    """The header of one file.

    A number that is absent, not finite or too large is None, 0 (``rows``, ``columns``, ``slope``)
    or NaN (``intercept``). Positions and directions are as in DICOM: mm, LPS.
    """

    path: Path
    file_bytes: int
    syntax: str  # transfer syntax UID
    patient_id: str
    series_uid: str
    sop_class: str
    modality: str
    image_type: frozenset[str]
    frames: int
    rows: int
    columns: int
    position: tuple[float, ...] | None  # centre of the first pixel, mm
    orientation: tuple[float, ...] | None  # cosines along a row, then down a column
    pixel_spacing: tuple[float, ...] | None  # mm between rows, then between columns
    slope: float
    intercept: float  # HU
    rescale_type: str
    manufacturer: str
    kernel: str
    contrast: bool


@dataclass(frozen=True, slots=True)
class Series:
    """The files of one patient that share a SeriesInstanceUID, in the order of the file search."""

    uid: str
    patient_id: str
    slices: tuple[SliceHeader, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Geometry:
    """Where the voxels of a series lie.

    Attributes:
        order: ``order[k]`` is the index in ``Series.slices`` of the k-th slice along the normal,
            which is row direction × column direction (feet to head, if axial).
        shape: ``(slices, rows, columns)``.
        affine: (4, 4), from ``(column, row, slice, 1)`` to mm in RAS, as in NIfTI.
    """

    order: tuple[int, ...]
    shape: tuple[int, int, int]
    affine: NDArray[np.float64]


def inspect_series(series: Series, min_slices: int = MIN_SLICES) -> Geometry:
    """Compute where the voxels of a series lie.

    Gantry tilt is computed from the positions. The tag GantryDetectorTilt is ignored, because a
    series that was resampled upright still has it.

    Args:
        series: the headers of its files.
        min_slices: fewer slices exclude it.

    Raises:
        ExclusionError: the series cannot be used; the first reason that applies.
    """
    slices = series.slices
    _check_kind(slices)
    if len(slices) < min_slices:
        raise ExclusionError(
            Reason.TOO_FEW_SLICES, f"{len(slices)} slices, at least {min_slices} needed"
        )
    _check_size(slices)
    _check_scale(slices)
    positions, orientation, pixel_spacing = _planes(slices)
    spacing, order = _stack(positions, orientation)
    lps = highdicom.spatial.create_affine_matrix_from_attributes(
        positions[order[0]], orientation, pixel_spacing, spacing
    )
    shape = (len(slices), slices[0].rows, slices[0].columns)
    return Geometry(order, shape, np.diag([-1.0, -1.0, 1.0, 1.0]) @ lps)


def _check_kind(slices: tuple[SliceHeader, ...]) -> None:
    """Accept only single-frame CT images, none of them a scout."""
    localisers = sum("LOCALIZER" in s.image_type for s in slices)
    if localisers:
        detail = f"{localisers} of {len(slices)} images are scouts for planning"
        raise ExclusionError(Reason.LOCALISER, detail)
    modalities = {s.modality for s in slices}
    if modalities != {"CT"}:
        raise ExclusionError(Reason.NOT_CT, f"modality {_quote(modalities)}")
    if any(s.frames > 1 for s in slices):
        raise ExclusionError(Reason.MULTI_FRAME, "export it again as single-frame CT images")
    kinds = {s.sop_class for s in slices if s.sop_class != CTImageStorage}
    if kinds:
        names = {UID(kind, validation_mode=IGNORE).name for kind in kinds}
        raise ExclusionError(Reason.NOT_CT, f"stored as {_quote(names)}")


def _check_size(slices: tuple[SliceHeader, ...]) -> None:
    largest = max(s.file_bytes for s in slices)
    if largest > DICOM_FILE_BYTES:
        raise ExclusionError(
            Reason.TOO_LARGE, f"a file of {largest} bytes, at most {DICOM_FILE_BYTES}"
        )
    sizes = Counter(f"{s.columns}×{s.rows}" for s in slices)
    if len(sizes) > 1:
        counts = ", ".join(f"{count} of {size}" for size, count in sizes.most_common(3))
        raise ExclusionError(Reason.INCONSISTENT_GEOMETRY, f"sizes differ: {counts}")
    pixels = slices[0].rows * slices[0].columns
    if pixels <= 0:
        raise ExclusionError(Reason.UNREADABLE, "the headers give no image size")
    if pixels * len(slices) > VOXELS:
        detail = f"{len(slices)} slices of {pixels} pixels, at most {VOXELS} voxels"
        raise ExclusionError(Reason.TOO_LARGE, detail)


def _check_scale(slices: tuple[SliceHeader, ...]) -> None:
    """Require slope and intercept, and a rescale type that is HU, absent or unspecified.

    GDCM writes "US" (unspecified) into CT images that have no rescale type.
    """
    bad = sum(s.slope <= 0 or math.isnan(s.intercept) for s in slices)
    if bad:
        detail = f"{bad} of {len(slices)} images have no usable rescale slope and intercept"
        raise ExclusionError(Reason.NO_HOUNSFIELD_SCALE, detail)
    units = {s.rescale_type for s in slices} - {"", "HU", "US"}
    if units:
        raise ExclusionError(Reason.NO_HOUNSFIELD_SCALE, f"values are in {_quote(units)}, not HU")


def _planes(
    slices: tuple[SliceHeader, ...],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Positions (K, 3) in mm; the orientation (6,) and pixel spacing (2,) of all slices."""
    planes = [(s.position, s.orientation, s.pixel_spacing) for s in slices]
    incomplete = sum(None in plane for plane in planes)
    if incomplete:
        detail = (
            f"{incomplete} of {len(slices)} images lack a position, orientation or pixel spacing"
        )
        raise ExclusionError(Reason.INCONSISTENT_GEOMETRY, detail)
    columns = zip(*planes, strict=True)
    positions, orientations, spacings = (np.array(c, dtype=np.float64) for c in columns)
    if not np.allclose(orientations, orientations[0], rtol=0, atol=_SAME_COSINE):
        raise ExclusionError(Reason.INCONSISTENT_GEOMETRY, "orientations differ between images")
    axes = orientations[0].reshape(2, 3)
    if not np.allclose(axes @ axes.T, np.eye(2), rtol=0, atol=_SAME_COSINE):
        raise ExclusionError(
            Reason.INCONSISTENT_GEOMETRY, "rows and columns are not at a right angle"
        )
    if spacings.min() <= 0 or not np.allclose(spacings, spacings[0], rtol=1e-3, atol=0):
        raise ExclusionError(
            Reason.INCONSISTENT_GEOMETRY, "pixel spacings differ or are not positive"
        )
    return positions, orientations[0], spacings[0]


def _stack(
    positions: NDArray[np.float64], orientation: NDArray[np.float64]
) -> tuple[float, tuple[int, ...]]:
    """Slice spacing in mm, and the order of the positions (K, 3) in a regular upright stack."""
    normal = highdicom.spatial.get_normal_vector(orientation)
    distances = positions @ normal  # mm
    gaps = np.diff(np.sort(distances))
    repeated = int((gaps < _SAME_PLACE).sum())
    if repeated:
        detail = f"{repeated} of {len(positions)} slices lie where another does (copied files?)"
        raise ExclusionError(Reason.INCONSISTENT_GEOMETRY, detail)
    span = positions[distances.argmax()] - positions[distances.argmin()]
    rise = float(span @ normal)
    tilt = math.degrees(math.atan2(float(np.linalg.norm(span - rise * normal)), rise))
    if tilt > MAX_TILT_DEGREES:
        detail = f"slices are stacked {tilt:.1f}° off upright, at most {MAX_TILT_DEGREES}°"
        raise ExclusionError(Reason.GANTRY_TILT, detail)
    rules: dict[str, Any] = {"index_convention": "RD", "rtol": SPACING_TOLERANCE}
    spacing, ranks = highdicom.spatial.get_volume_positions(positions, orientation, **rules)
    if ranks is not None:
        return float(spacing), tuple(int(index) for index in np.argsort(ranks))
    _, ranks = highdicom.spatial.get_volume_positions(
        positions, orientation, allow_missing_positions=True, **rules
    )
    holes = max(ranks) + 1 - len(ranks) if ranks is not None else 0
    detail = f"uneven, gaps from {gaps.min():.2f} to {gaps.max():.2f} mm or shifted sideways"
    if holes:
        detail = f"{holes} missing between the first and last of {len(positions)} slices"
    raise ExclusionError(Reason.INCONSISTENT_GEOMETRY, detail)


def _quote(values: set[str]) -> str:
    """At most three untrusted words, on one line."""
    return ", ".join(repr(value[:40]) for value in sorted(values)[:3])
