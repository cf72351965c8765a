"""The work of ``ucadi prepare``: a hospital's DICOM tree → pseudonymous NIfTI and a manifest.

What is written::

    OUTPUT/images/p001-s01.nii.gz   HU, spacing and orientation; nothing else of the header
    OUTPUT/manifest.csv             one row per kept series, its label left for a person to fill
    OUTPUT/excluded.csv             one row per series left out, with the reason
    OUTPUT.key.tsv                  pseudonym ↔ PatientID, series UID and folder

Pseudonyms are running numbers, given in the order of PatientID and of series UID: they carry
nothing that could be inverted (a hash of a short PatientID can be, by trying them all), and
the same tree gets the same numbers again. The key alone leads back, and it is what a person
needs to fill in the labels: it lies beside OUTPUT, not in it, readable by its owner only, and
must not leave the hospital. Folder and file names may hold names, so they stand in the key
only. Pixels are copied as they are: text burned into an image is not removed.
"""

import gzip
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import nibabel
from nibabel.affines import voxel_sizes

from ucadi_flwr.data.dicom import Scan, Volume, decode_series, find_series
from ucadi_flwr.data.series import MIN_SLICES, Excluded, Reason, Series, inspect_series
from ucadi_flwr.data.site_folder import (
    Progress,
    count_reasons,
    new_site,
    refuse_overwrite,
    write_rows,
)
from ucadi_flwr.errors import DataError


@dataclass(frozen=True, slots=True)
class Kept:
    """A row of ``manifest.csv``; ``name`` is the file's stem in ``images/``."""

    name: str
    label: str
    patient: str
    series: str
    slices: int
    rows: int
    columns: int
    spacing_x_mm: float
    spacing_y_mm: float
    spacing_z_mm: float
    orientation: str  # where columns, rows and slices run to, such as LPS
    manufacturer: str
    kernel: str
    contrast: str  # yes or no


@dataclass(frozen=True, slots=True)
class LeftOut:
    """A row of ``excluded.csv``."""

    name: str
    patient: str
    slices: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A row of the key: the only place where a pseudonym meets a person."""

    name: str
    patient: str
    patient_id: str
    series_uid: str
    folder: str  # relative to the input


@dataclass(frozen=True, slots=True)
class PrepareResult:
    """What was written, and where."""

    output: Path
    key: Path
    kept: tuple[Kept, ...]
    excluded: tuple[LeftOut, ...]
    other_files: int

    def summary(self) -> str:
        """Say in a few lines what was kept and left out, and what is left for a person to do."""
        reasons = count_reasons(row.reason for row in self.excluded)
        return "\n".join(
            [
                f"{len(self.kept)} series kept in {self.output / 'images'}",
                f"{len(self.excluded)} left out{reasons}: see excluded.csv",
                f"{self.other_files} other files passed over",
                f"Next: fill in the empty label column of {self.output / 'manifest.csv'}; "
                f"{self.key} says who is who and must stay here",
            ]
        )


def prepare(
    input_dir: Path,
    output_dir: Path,
    min_slices: int = MIN_SLICES,
    progress: Progress = lambda _done, _all: None,
) -> PrepareResult:
    """Convert every usable CT series under ``input_dir``; write all of it or nothing.

    One series is in memory at a time. Raises DataError where the output or its key exists
    already, nothing can be kept, or nothing can be written; Ctrl-C leaves nothing behind.
    """
    if min_slices < 2:
        raise DataError(f"min-slices is {min_slices}: a volume has at least 2 slices")
    output = output_dir.resolve()
    key = output.with_name(f"{output.name}.key.tsv")  # .csv could pass for a manifest
    refuse_overwrite(output)
    if key.exists():
        raise DataError(f"{key}: the key of an earlier output exists; move it or choose another")
    scan = find_series(input_dir)
    if not scan.series and not scan.unreadable:
        raise DataError(f"{input_dir}: no DICOM images among {scan.other_files} files")
    with _all_or_nothing(output, key) as (folder, key_file):
        kept: list[Kept] = []
        excluded: list[LeftOut] = []
        for done, (name, patient, series) in enumerate(_named(scan.series), start=1):
            try:
                kept.append(_convert(name, patient, series, min_slices, folder / "images"))
            except Excluded as error:
                slices = len(series.slices)
                excluded.append(LeftOut(name, patient, slices, error.reason, error.detail))
            progress(done, len(scan.series))
        for name, _, count in _unreadable_folders(scan):
            detail = f"{count} files whose DICOM header does not parse"
            excluded.append(LeftOut(name, "", 0, Reason.UNREADABLE, detail))
        if not kept:
            first = f"{excluded[0].reason}: {excluded[0].detail}"
            reasons = count_reasons(row.reason for row in excluded)
            raise DataError(f"{input_dir}: nothing to keep{reasons}; first {first}")
        write_rows(folder / "manifest.csv", Kept, kept)
        write_rows(folder / "excluded.csv", LeftOut, excluded)
        write_rows(key_file, KeyRow, _key_rows(scan, input_dir), delimiter="\t")
    return PrepareResult(output, key, tuple(kept), tuple(excluded), scan.other_files)


def write_nifti(volume: Volume, path: Path) -> None:
    """Write a volume as gzip NIfTI-1 in mm, RAS; equal volumes give equal bytes."""
    image = nibabel.Nifti1Image(volume.hu.T, volume.affine)  # (column, row, slice)
    image.header.set_xyzt_units("mm")
    image.set_qform(volume.affine, code="scanner")
    image.set_sform(volume.affine, code="scanner")
    with (
        path.open("wb") as file,
        gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0) as packed,
    ):
        image.to_stream(packed)


def _convert(name: str, patient: str, series: Series, min_slices: int, images: Path) -> Kept:
    geometry = inspect_series(series, min_slices)
    if not series.patient_id:
        raise Excluded(Reason.NO_PATIENT_ID, "the split needs one key per patient")
    volume = decode_series(series, geometry)
    write_nifti(volume, images / f"{name}.nii.gz")
    slices, rows, columns = geometry.shape
    x, y, z = (round(float(size), 4) for size in voxel_sizes(geometry.affine))
    header = series.slices[geometry.order[0]]
    return Kept(
        name=name,
        label="",
        patient=patient,
        series=name.removeprefix(f"{patient}-"),
        slices=slices,
        rows=rows,
        columns=columns,
        spacing_x_mm=x,
        spacing_y_mm=y,
        spacing_z_mm=z,
        orientation="".join(nibabel.aff2axcodes(geometry.affine)),
        manufacturer=_plain(header.manufacturer),
        kernel=_plain(header.kernel),
        contrast="yes" if any(s.contrast for s in series.slices) else "no",
    )


def _named(series: Iterable[Series]) -> Iterator[tuple[str, str, Series]]:
    """Yield name, patient and series: ``p001-s02`` is the second series of the first patient."""
    patients = {"": "p000"}  # whoever has no PatientID
    seen: Counter[str] = Counter()
    for one in series:
        patient = patients.setdefault(one.patient_id, f"p{len(patients):03d}")
        seen[patient] += 1
        yield f"{patient}-s{seen[patient]:02d}", patient, one


def _unreadable_folders(scan: Scan) -> list[tuple[str, Path, int]]:
    """Name the folders with files that do not even parse, and so belong to no series."""
    folders = Counter(path if path.is_dir() else path.parent for path in scan.unreadable)
    return [(f"x{n:03d}", folder, folders[folder]) for n, folder in enumerate(sorted(folders), 1)]


def _key_rows(scan: Scan, root: Path) -> list[KeyRow]:
    rows = []
    for name, patient, series in _named(scan.series):
        folders = sorted({str(s.path.parent.relative_to(root)) for s in series.slices})
        rows.append(KeyRow(name, patient, series.patient_id, series.uid, "; ".join(folders)))
    for name, folder, _ in _unreadable_folders(scan):
        rows.append(KeyRow(name, "", "", "", str(folder.relative_to(root))))
    return rows


def _plain(text: str) -> str:
    """Keep a short technical word: no control characters, nothing a spreadsheet would run."""
    return re.sub(r"[^\w .,/()+-]", "", text).lstrip("+- ")[:40]


@contextmanager
def _all_or_nothing(output: Path, key: Path) -> Iterator[tuple[Path, Path]]:
    """Give a folder and a key file to write to; the key is placed first, and goes with it."""
    placed = False
    try:
        with new_site(output) as folder:
            key_file = folder.with_name("key.tsv")
            key_file.touch(mode=0o600)
            yield folder, key_file
            key_file.replace(key)
            placed = True
    except BaseException:
        if placed:
            key.unlink()
        raise
