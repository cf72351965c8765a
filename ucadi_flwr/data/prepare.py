"""``ucadi prepare``: convert a hospital's DICOM tree to pseudonymous NIfTI files and a manifest.

It writes::

    OUTPUT/images/p001-s01.nii.gz   HU, spacing and orientation; nothing else of the header
    OUTPUT/manifest.csv             one row per kept series; a person fills in the labels
    OUTPUT/excluded.csv             one row per excluded series, with the reason
    OUTPUT.key.tsv                  pseudonym ↔ PatientID, series UID and folder

Pseudonyms are consecutive numbers in the order of PatientID and series UID. Nobody can compute a
PatientID from them, whereas a hash of a short PatientID can be inverted by trying all of them. The
same tree gets the same numbers again.

Only the key connects pseudonyms and people, and a person needs it to fill in the labels. It lies
beside OUTPUT, is readable by its owner only (mode 0600), and must not leave the hospital. Folder
and file names may contain people's names, so they appear in the key only. Pixels are copied
unchanged: text that is burned into an image is not removed.
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

from ucadi_flwr.data.dicom import DicomTree, Volume, decode_series, find_series
from ucadi_flwr.data.series import MIN_SLICES, ExclusionError, Reason, Series, inspect_series
from ucadi_flwr.data.site_folder import (
    Progress,
    count_reasons,
    new_site,
    refuse_overwrite,
    write_rows,
)
from ucadi_flwr.errors import DataError


@dataclass(frozen=True, slots=True)
class KeptSeries:
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
    orientation: str  # direction of columns, rows and slices, such as LPS
    manufacturer: str
    kernel: str
    contrast: str  # yes or no


@dataclass(frozen=True, slots=True)
class ExcludedSeries:
    """A row of ``excluded.csv``."""

    name: str
    patient: str
    slices: int
    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A row of the key, which connects a pseudonym and a person."""

    name: str
    patient: str
    patient_id: str
    series_uid: str
    folder: str  # relative to the input


@dataclass(frozen=True, slots=True)
class PrepareResult:
    """The rows that were written, and the paths."""

    output: Path
    key: Path
    kept: tuple[KeptSeries, ...]
    excluded: tuple[ExcludedSeries, ...]
    other_files: int

    def summary(self) -> str:
        """Lines for the terminal: counts of series, and the next step for a person."""
        reasons = count_reasons(row.reason for row in self.excluded)
        return "\n".join(
            [
                f"{len(self.kept)} series kept in {self.output / 'images'}",
                f"{len(self.excluded)} series excluded{reasons}: see excluded.csv",
                f"{self.other_files} other files ignored",
                f"Next: fill in the empty label column of {self.output / 'manifest.csv'}; "
                f"{self.key} names the patients and must stay here",
            ]
        )


def prepare(
    input_dir: Path,
    output_dir: Path,
    min_slices: int = MIN_SLICES,
    progress: Progress = lambda _done, _all: None,
) -> PrepareResult:
    """Convert every usable CT series of a tree; write all files or none, also after Ctrl-C.

    One series is in memory at a time.

    Args:
        input_dir: a folder of DICOM files.
        output_dir: the new folder; the key is written beside it.
        min_slices: a series with fewer slices is excluded; at least 2.
        progress: called after each series.

    Raises:
        DataError: the output or its key exists already, no series can be kept, or the files cannot
            be written.
    """
    if min_slices < 2:
        raise DataError(f"min-slices is {min_slices}: a volume has at least 2 slices")
    output = output_dir.resolve()
    key = output.with_name(f"{output.name}.key.tsv")  # a .csv could be mistaken for a manifest
    refuse_overwrite(output)
    if key.exists():
        raise DataError(
            f"{key}: the key of an earlier output exists; move it or choose another output"
        )
    tree = find_series(input_dir)
    if not tree.series and not tree.unreadable:
        raise DataError(f"{input_dir}: no DICOM images among {tree.other_files} files")
    with _all_or_nothing(output, key) as (folder, key_file):
        kept: list[KeptSeries] = []
        excluded: list[ExcludedSeries] = []
        for done, (name, patient, series) in enumerate(_pseudonyms(tree.series), start=1):
            try:
                kept.append(_convert(name, patient, series, min_slices, folder / "images"))
            except ExclusionError as error:
                slices = len(series.slices)
                excluded.append(ExcludedSeries(name, patient, slices, error.reason, error.detail))
            progress(done, len(tree.series))
        for name, _, count in _unreadable_folders(tree):
            detail = f"{count} files whose DICOM header does not parse"
            excluded.append(ExcludedSeries(name, "", 0, Reason.UNREADABLE, detail))
        if not kept:
            first = f"{excluded[0].reason}: {excluded[0].detail}"
            reasons = count_reasons(row.reason for row in excluded)
            raise DataError(f"{input_dir}: no series can be used{reasons}; first {first}")
        write_rows(folder / "manifest.csv", KeptSeries, kept)
        write_rows(folder / "excluded.csv", ExcludedSeries, excluded)
        write_rows(key_file, KeyRow, _key_rows(tree, input_dir), delimiter="\t")
    return PrepareResult(output, key, tuple(kept), tuple(excluded), tree.other_files)


def write_nifti(volume: Volume, path: Path) -> None:
    """Write a volume as gzip NIfTI-1 (mm, RAS); equal volumes give equal bytes."""
    image = nibabel.Nifti1Image(volume.hu.T, volume.affine)  # (column, row, slice)
    image.header.set_xyzt_units("mm")
    image.set_qform(volume.affine, code="scanner")
    image.set_sform(volume.affine, code="scanner")
    with (
        path.open("wb") as file,
        gzip.GzipFile("", "wb", compresslevel=1, fileobj=file, mtime=0) as packed,
    ):
        image.to_stream(packed)


def _convert(name: str, patient: str, series: Series, min_slices: int, images: Path) -> KeptSeries:
    geometry = inspect_series(series, min_slices)
    if not series.patient_id:
        raise ExclusionError(Reason.NO_PATIENT_ID, "the split needs one key per patient")
    volume = decode_series(series, geometry)
    write_nifti(volume, images / f"{name}.nii.gz")
    slices, rows, columns = geometry.shape
    x, y, z = (round(float(size), 4) for size in voxel_sizes(geometry.affine))
    header = series.slices[geometry.order[0]]
    return KeptSeries(
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


def _pseudonyms(all_series: Iterable[Series]) -> Iterator[tuple[str, str, Series]]:
    """Yield name, patient and series: ``p001-s02`` is the second series of the first patient."""
    patients = {"": "p000"}  # series without PatientID
    count: Counter[str] = Counter()
    for series in all_series:
        patient = patients.setdefault(series.patient_id, f"p{len(patients):03d}")
        count[patient] += 1
        yield f"{patient}-s{count[patient]:02d}", patient, series


def _unreadable_folders(tree: DicomTree) -> list[tuple[str, Path, int]]:
    """Pseudonym, folder and count of the files that do not parse and so belong to no series."""
    folders = Counter(path if path.is_dir() else path.parent for path in tree.unreadable)
    return [(f"x{n:03d}", folder, folders[folder]) for n, folder in enumerate(sorted(folders), 1)]


def _key_rows(tree: DicomTree, root: Path) -> list[KeyRow]:
    rows = []
    for name, patient, series in _pseudonyms(tree.series):
        folders = sorted({str(s.path.parent.relative_to(root)) for s in series.slices})
        rows.append(KeyRow(name, patient, series.patient_id, series.uid, "; ".join(folders)))
    for name, folder, _ in _unreadable_folders(tree):
        rows.append(KeyRow(name, "", "", "", str(folder.relative_to(root))))
    return rows


def _plain(text: str) -> str:
    """At most 40 characters without control characters or anything a spreadsheet would execute."""
    return re.sub(r"[^\w .,/()+-]", "", text).lstrip("+- ")[:40]


@contextmanager
def _all_or_nothing(output: Path, key: Path) -> Iterator[tuple[Path, Path]]:
    """Yield a folder and a key file to write to.

    At the end the key is moved to its place before the folder; if the folder then fails, the key is
    deleted.
    """
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
