"""A tree of DICOM files → CT series → one volume in Hounsfield units, one series at a time.

1. :func:`find_series` reads the headers of all files in a tree and groups the files into series.
2. :func:`ucadi_flwr.data.series.inspect_series` checks the headers of a series.
3. :func:`decode_series` decodes the pixels of a series that passed.

Every byte is untrusted: numbers are bounded, files and volumes have size limits, and any error of a
decoder becomes one :class:`~ucadi_flwr.data.series.ExclusionError`. Pixels may be uncompressed,
RLE, JPEG-LS, JPEG lossless or JPEG 2000 (:mod:`ucadi_flwr.data.decode`).

Sources: DICOM PS3.3 C.11.1.1.2 (rescale), PS3.10 (files).
"""

import math
import os
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
from numpy.typing import NDArray
from pydicom.config import disable_value_validation
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_file_meta_info
from pydicom.multival import MultiValue
from pydicom.uid import DeflatedExplicitVRLittleEndian

from ucadi_flwr.data.decode import EncodedSlice, decode_slices
from ucadi_flwr.data.series import (
    ExclusionError,
    Geometry,
    Reason,
    Series,
    SliceHeader,
    inspect_series,
)
from ucadi_flwr.errors import DataError

_MAX_NUMBER = 1e5  # mm, HU or pixels; far above any valid value
_TAGS: list[str] = [
    *("PatientID", "SeriesInstanceUID", "SOPClassUID", "Modality", "ImageType", "NumberOfFrames"),
    *("Rows", "Columns", "ImagePositionPatient", "ImageOrientationPatient", "PixelSpacing"),
    *("RescaleSlope", "RescaleIntercept", "RescaleType"),
    *("Manufacturer", "ConvolutionKernel", "ContrastBolusAgent"),
]


@dataclass(frozen=True, slots=True)
class DicomTree:
    """The content of a tree: its series, the unreadable paths, and the number of other files."""

    series: tuple[Series, ...]
    unreadable: tuple[Path, ...]
    other_files: int


@dataclass(frozen=True, slots=True, eq=False)
class Volume:
    """One CT volume.

    Attributes:
        hu: (slices, rows, columns); int16, or float32 if int16 would change a value. Slices run
            along the normal (feet to head, if axial).
        affine: (4, 4), from ``(column, row, slice, 1)`` to mm in RAS: the NIfTI affine of ``hu.T``.
    """

    hu: NDArray[np.int16] | NDArray[np.float32]
    affine: NDArray[np.float64]


def find_series(root: Path) -> DicomTree:
    """Read every DICOM header under ``root``; the files' names and order do not matter.

    Links to folders are not followed. Series are sorted by patient and UID. Files without the DICOM
    prefix (XML, a licence) or without a series (DICOMDIR) are counted as other files. A DICOM file
    whose header does not parse is unreadable, and so is a folder that cannot be listed.

    Raises:
        DataError: ``root`` is not a folder.
    """
    if not root.is_dir():
        raise DataError(f"{root}: no such folder; name the folder that holds the DICOM files")
    groups: defaultdict[tuple[str, str], list[SliceHeader]] = defaultdict(list)
    unreadable: list[Path] = []
    other_files = 0
    for path in _files(root, unreadable):
        try:
            header = _read_header(path)
        except InvalidDicomError:
            other_files += 1
        except Exception:  # a parser of untrusted bytes raises errors of any type
            unreadable.append(path)
        else:
            if header.series_uid:
                groups[header.patient_id, header.series_uid].append(header)
            else:
                other_files += 1
    series = [Series(uid, patient, tuple(group)) for (patient, uid), group in groups.items()]
    series.sort(key=lambda s: (s.patient_id, s.uid))
    return DicomTree(tuple(series), tuple(sorted(unreadable)), other_files)


def decode_series(series: Series, geometry: Geometry) -> Volume:
    """Decode the pixels of one series: HU = stored × slope + intercept, slice by slice.

    Slope and intercept are those of each slice (DICOM PS3.3 C.11.1.1.2). Pixels outside the
    reconstruction circle keep the scanner's value (PixelPaddingValue, often far below −1024 HU);
    the task's transform clips them.

    Args:
        series: the files.
        geometry: from :func:`ucadi_flwr.data.series.inspect_series`.

    Raises:
        ExclusionError: a file is cut short or does not decode (reason: unreadable).
    """
    hu: NDArray[Any] = np.empty(geometry.shape, dtype=np.int16)
    ordered = [series.slices[index] for index in geometry.order]
    encoded = [EncodedSlice(str(s.path), s.syntax, s.rows, s.columns) for s in ordered]
    with closing(decode_slices(encoded)) as decoded:
        for k, header in enumerate(ordered):
            try:
                stored = next(decoded)
            except Exception as error:  # decoders raise errors of any type
                detail = f"slice {k + 1} of {len(ordered)} is cut short or does not decode"
                raise ExclusionError(Reason.UNREADABLE, detail) from error
            plane = header.slope * stored.astype(np.float64) + header.intercept  # C.11.1.1.2
            if hu.dtype == np.int16 and not _fits_int16(plane):
                hu = hu.astype(np.float32)
            hu[k] = plane
    return Volume(hu, geometry.affine)


def read_volume(folder: Path) -> Volume:
    """Read a folder that holds the files of one CT series and no other DICOM file.

    Raises:
        DataError: there is another number of series, a file is unreadable, or the series cannot
            be used.
    """
    tree = find_series(folder)
    if len(tree.series) != 1 or tree.unreadable:
        raise DataError(
            f"{folder}: {len(tree.series)} DICOM series and {len(tree.unreadable)} unreadable "
            "files; keep one whole CT series in a folder, or run 'ucadi prepare' on it"
        )
    series = tree.series[0]
    try:
        return decode_series(series, inspect_series(series, min_slices=2))
    except ExclusionError as error:
        raise DataError(f"{folder}: {error}; take it out of the manifest") from error


def _files(root: Path, unreadable: list[Path]) -> Iterator[Path]:
    """Yield the files under ``root`` in a fixed order; record folders that cannot be listed."""
    walk = os.walk(root, onerror=lambda error: unreadable.append(Path(error.filename)))
    for folder, subfolders, names in walk:
        subfolders.sort()
        yield from (path for name in sorted(names) if (path := Path(folder, name)).is_file())


def _read_header(path: Path) -> SliceHeader:
    """Parse one header; refuse a deflated file, which pydicom would inflate before any check."""
    with disable_value_validation():  # its warnings would quote values, which may identify people
        syntax = str(read_file_meta_info(path).get("TransferSyntaxUID"))
        if syntax == DeflatedExplicitVRLittleEndian:
            raise ValueError("deflated")
        header = pydicom.dcmread(path, stop_before_pixels=True, specific_tags=_TAGS)
        return SliceHeader(
            path=path,
            file_bytes=path.stat().st_size,
            syntax=syntax,
            patient_id=_text(header, "PatientID"),
            series_uid=_text(header, "SeriesInstanceUID"),
            sop_class=_text(header, "SOPClassUID"),
            modality=_text(header, "Modality"),
            image_type=frozenset(_text(header, "ImageType").upper().split("/")),
            frames=int(_number(header, "NumberOfFrames", 1)),
            rows=int(_number(header, "Rows", 0)),
            columns=int(_number(header, "Columns", 0)),
            position=_numbers(header, "ImagePositionPatient", 3),
            orientation=_numbers(header, "ImageOrientationPatient", 6),
            pixel_spacing=_numbers(header, "PixelSpacing", 2),
            slope=_number(header, "RescaleSlope", 0),
            intercept=_number(header, "RescaleIntercept", math.nan),
            rescale_type=_text(header, "RescaleType").upper(),
            manufacturer=_text(header, "Manufacturer"),
            kernel=_text(header, "ConvolutionKernel"),
            contrast=_text(header, "ContrastBolusAgent").upper() not in ("", "NO", "NONE"),
        )


def _parts(header: pydicom.Dataset, keyword: str) -> list[Any]:
    value = header.get(keyword)
    return list(value) if isinstance(value, MultiValue) else [value]


def _text(header: pydicom.Dataset, keyword: str) -> str:
    return "/".join(str(part).strip() for part in _parts(header, keyword) if part is not None)


def _numbers(header: pydicom.Dataset, keyword: str, count: int) -> tuple[float, ...] | None:
    """Read exactly ``count`` finite numbers of at most ``_MAX_NUMBER``; else None."""
    try:
        numbers = tuple(float(part) for part in _parts(header, keyword))
    except (TypeError, ValueError, OverflowError):
        return None
    bounded = all(abs(number) <= _MAX_NUMBER for number in numbers)  # False for NaN
    return numbers if bounded and len(numbers) == count else None


def _number(header: pydicom.Dataset, keyword: str, default: float) -> float:
    numbers = _numbers(header, keyword, 1)
    return default if numbers is None else numbers[0]


def _fits_int16(plane: NDArray[np.float64]) -> bool:
    limits = np.iinfo(np.int16)
    inside = limits.min <= plane.min() and plane.max() <= limits.max
    return bool(inside and (plane == np.rint(plane)).all())
