"""Small synthetic DICOM series, correct or with the faults that scanners and archives cause."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import gdcm
import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    UID,
    CTImageStorage,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLosslessSV1,
    generate_uid,
)

AXIAL = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)
CORONAL = (1.0, 0.0, 0.0, 0.0, 0.0, -1.0)
OBLIQUE = (0.8, 0.6, 0.0, -0.48, 0.64, 0.6)  # orthonormal, off every axis

Edit = Callable[[Dataset, int], None]


def write_series(
    folder: Path,
    *,
    slices: int = 5,
    rows: int = 6,
    columns: int = 8,
    pixel_spacing: tuple[float, float] = (0.5, 0.75),
    gap: float = 2.0,
    origin: tuple[float, float, float] = (-10.0, -20.0, -30.0),
    orientation: tuple[float, ...] = AXIAL,
    tilt_degrees: float = 0.0,
    missing: Collection[int] = (),
    syntax: UID = ExplicitVRLittleEndian,
    series: str = "series-1",
    patient_id: str = "HOSPITAL-4711",
    edit: Edit = lambda _header, _k: None,
    **values: Any,
) -> NDArray[np.int16]:
    """Write one CT series with meaningless file names; return its HU (slices, rows, columns).

    ``tilt_degrees`` shears the stack along the column direction, as a tilted gantry does;
    ``missing`` slices are not written; ``values`` override header elements of every slice and
    ``edit(header, k)`` those of slice k, before pixels are compressed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(slices * rows * columns)
    stored = rng.integers(0, 3072, size=(slices, rows, columns), dtype=np.uint16)
    axes = np.array(orientation).reshape(2, 3)
    step = np.cross(*axes) * gap + axes[1] * gap * np.tan(np.radians(tilt_degrees))
    kept = [k for k in range(slices) if k not in missing]
    for k in kept:
        header = _header(stored[k], generate_uid(entropy_srcs=[series]), patient_id, k)
        header.PixelSpacing = list(pixel_spacing)
        header.ImageOrientationPatient = list(orientation)
        header.ImagePositionPatient = [round(float(v), 6) for v in np.array(origin) + k * step]
        for keyword, value in values.items():
            setattr(header, keyword, value)
        edit(header, k)
        name = generate_uid(entropy_srcs=[series, patient_id, str(k)])[-12:]  # no order, no suffix
        _save(header, folder / name, syntax)
    return (stored[kept].astype(np.int32) - 1024).astype(np.int16)


def truncate(path: Path, keep: float) -> None:
    """Cut a file short, to a share of its bytes."""
    raw = path.read_bytes()
    path.write_bytes(raw[: int(len(raw) * keep)])


def transcode(path: Path, syntax: int) -> None:
    """Store one file's pixels in another transfer syntax, as archives do."""
    reader = gdcm.ImageReader()
    reader.SetFileName(str(path))
    assert reader.Read()
    change = gdcm.ImageChangeTransferSyntax()
    change.SetTransferSyntax(gdcm.TransferSyntax(syntax))
    change.SetInput(reader.GetImage())
    assert change.Change()
    writer = gdcm.ImageWriter()
    writer.SetFile(reader.GetFile())
    writer.SetImage(change.GetOutput())
    writer.SetFileName(str(path))
    assert writer.Write()


def _header(stored: NDArray[np.uint16], series_uid: str, patient_id: str, k: int) -> Dataset:
    header = Dataset()
    header.file_meta = FileMetaDataset()
    header.SOPClassUID = CTImageStorage
    header.SOPInstanceUID = generate_uid()
    header.SeriesInstanceUID = series_uid
    header.StudyInstanceUID = generate_uid(entropy_srcs=[patient_id])
    header.FrameOfReferenceUID = generate_uid(entropy_srcs=[patient_id, "frame"])
    header.PatientID = patient_id
    header.PatientName = "Doe^Jane"
    header.PatientBirthDate = "19700101"
    header.Modality = "CT"
    header.Manufacturer = "ACME"
    header.ConvolutionKernel = "B30f"
    header.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    header.InstanceNumber = str(k + 1)
    header.SamplesPerPixel = 1
    header.PhotometricInterpretation = "MONOCHROME2"
    header.Rows, header.Columns = stored.shape
    header.BitsAllocated, header.BitsStored, header.HighBit = 16, 12, 11
    header.PixelRepresentation = 0
    header.RescaleSlope, header.RescaleIntercept, header.RescaleType = "1", "-1024", "HU"
    header.PixelData = stored.tobytes()
    header["PixelData"].VR = "OW"
    return header


def _save(header: Dataset, path: Path, syntax: UID) -> None:
    by_gdcm = {  # pydicom encodes the others
        JPEGLosslessSV1: gdcm.TransferSyntax.JPEGLosslessProcess14_1,
        JPEG2000Lossless: gdcm.TransferSyntax.JPEG2000Lossless,
    }
    plain = (ExplicitVRLittleEndian, ImplicitVRLittleEndian)
    header.file_meta.TransferSyntaxUID = syntax if syntax in plain else ExplicitVRLittleEndian
    if syntax not in plain and syntax not in by_gdcm:
        header.compress(syntax, generate_instance_uid=False)
    header.save_as(path, enforce_file_format=True)
    if syntax in by_gdcm:
        transcode(path, by_gdcm[syntax])
