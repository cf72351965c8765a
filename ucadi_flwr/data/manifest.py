"""Read and check a site's manifest: the list of its images, their patients and labels.

A site is a folder with ``manifest.csv``. Without that file, the only CSV file in the folder that
has the required columns is the manifest. The columns are:

- ``name``, the stem of a file in the folder or in its ``images/``; or ``file``, a path relative to
  the folder;
- ``label``;
- ``patient``, any key that differs between patients;
- optionally ``site``, and ``split`` (train, validation or test).

Other columns are ignored, except that a column which identifies people (a patient's name, birth
date, …) is refused.

The manifest is untrusted: its size is checked before it is read, and no row may lead out of the
folder, by ``..``, an absolute path or a link. This module finds image files and does not open them.
"""

import csv
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import Literal, get_args

from ucadi_flwr.errors import DataError
from ucadi_flwr.files.csv_reader import Offence, Table, is_plain, listed, quote, read_table
from ucadi_flwr.limits import HEADER_BYTES, MANIFEST_BYTES

SUFFIXES = (".nii.gz", ".nii", ".png", ".jpg", ".jpeg")
Part = Literal["train", "validation", "test"]
PARTS: tuple[Part, ...] = get_args(Part)
"""The parts of a site's cases; column ``split`` has one of these values."""
_COLUMNS = ("name", "file", "label", "patient", "site", "split")
_IDENTIFYING_PARTS = (
    *("patientname", "patientsname", "nameofpatient", "surname", "firstname", "lastname"),
    *("familyname", "givenname", "middlename", "maidenname", "forename", "fullname"),
    *("birthdate", "dateofbirth", "birthday", "medicalrecord", "socialsecurity", "nhsnumber"),
    *("phonenumber", "homeaddress", "patientaddress", "geburtsdatum", "datadinascita"),
    *("patientenname", "codicefiscale", "姓名", "出生日期", "身份证"),
)
_IDENTIFYING = frozenset(
    {"dob", "mrn", "ssn", "phone", "telephone", "email", "address", "passport"}
    | {"vorname", "nachname", "cognome", "prénom", "initials"}
)


@dataclass(frozen=True, slots=True)
class Case:
    """One image of one patient, with its label: a file, or a folder with a DICOM series."""

    name: str
    path: Path
    label: str
    patient: str
    site: str
    split: str | None


def read_manifest(
    folder: Path, labels: Collection[str] | None, default_site: str | None = None
) -> list[Case]:
    """Read a site's manifest; the cases are in the order of its rows.

    A patient key stands for one person in the whole manifest, also across sites.

    Args:
        folder: the site's folder.
        labels: the labels that a row may have; None accepts any label.
        default_site: the site's name where the manifest has no column ``site``; None stands for
            the folder's name.

    Raises:
        DataError: the manifest is not as this module describes. The message is one line that names
            the file, the lines and the remedy.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: no such folder; name a site's folder with its manifest")
    root = folder.resolve()
    try:
        manifest = _find_manifest(root)
        table = _read(manifest)
        if not table.rows:
            raise DataError(f"{manifest}: has no rows; add one per image")
        _check_values(table, labels)
        _check_splits(table)
        paths = _find_images(root, table)
    except OSError as error:
        raise DataError(
            f"{root}: cannot be read ({error.strerror}); change its permissions"
        ) from error
    site = root.name if default_site is None else default_site
    return [
        Case(
            name=row.values.get("name") or row.values["file"],
            path=path,
            label=row.values["label"],
            patient=row.values["patient"],
            site=row.values.get("site", site),
            split=row.values.get("split") or None,
        )
        for row, path in zip(table.rows, paths, strict=True)
    ]


def by_site(cases: Iterable[Case]) -> dict[str, list[Case]]:
    """Group cases by site; sites are sorted by name, and each keeps the order of its cases."""
    groups: defaultdict[str, list[Case]] = defaultdict(list)
    for case in cases:
        groups[case.site].append(case)
    return dict(sorted(groups.items()))


def _find_manifest(root: Path) -> Path:
    manifest = root / "manifest.csv"
    if manifest.is_file():
        return manifest
    tables = sorted(path for path in root.glob("*.csv") if path.is_file())
    candidates = [path for path in tables if not _missing(_peek_columns(path))]
    if len(candidates) == 1:
        return candidates[0]
    if candidates:
        names = listed(path.name for path in candidates)
        raise DataError(f"{root}: {names} could each be the manifest; call one manifest.csv")
    wanted = "columns name or file, label and patient"
    if tables:
        names = listed(path.name for path in tables)
        raise DataError(f"{root}: no manifest.csv, and no {wanted} in {names}; add what is missing")
    raise DataError(f"{root}: no manifest; add manifest.csv with {wanted}")


def _peek_columns(path: Path) -> list[str]:
    """Read the column names of a file that may be something else; none if they do not parse."""
    with path.open("rb") as file:
        header = file.read(HEADER_BYTES).decode("utf-8-sig", errors="replace").splitlines()[:1]
    try:
        return [column.strip().casefold() for column in next(csv.reader(header, strict=True), [])]
    except csv.Error:
        return []


def _read(manifest: Path) -> Table:
    remedy = "divide it" if manifest.stat().st_size > MANIFEST_BYTES else "change its permissions"
    return read_table(
        manifest,
        MANIFEST_BYTES,
        remedy=remedy,
        check_columns=lambda columns: _check_columns(manifest, columns),
        fold_case=True,
    )


def _missing(header: Collection[str]) -> list[str]:
    """The required columns that a header lacks."""
    missing = [column for column in ("label", "patient") if column not in header]
    return missing if "name" in header or "file" in header else ["name or file", *missing]


def _check_columns(manifest: Path, header: Sequence[str]) -> None:
    missing = _missing(header)
    if missing:
        hint = " (separate columns by commas)" if any(";" in column for column in header) else ""
        present = f"the columns are {listed(header)}{hint}" if header else "the file is empty"
        raise DataError(f"{manifest}: no column {listed(missing)}; {present}; add what is missing")
    repeated = sorted({column for column in header if header.count(column) > 1 and column})
    if repeated:
        raise DataError(f"{manifest}: line 1 has column {listed(repeated)} twice; keep one")
    identifying = [column for column in header if _identifies(column)]
    if identifying:
        raise DataError(
            f"{manifest}: column {listed(identifying)} identifies people and does not belong here; "
            "remove it, and give each patient a pseudonym in column patient"
        )


def _identifies(column: str) -> bool:
    letters = "".join(filter(str.isalnum, column))
    return letters in _IDENTIFYING or any(part in letters for part in _IDENTIFYING_PARTS)


def _check_values(table: Table, labels: Collection[str] | None) -> None:
    for column in _COLUMNS:
        unprintable = table.offences(column, lambda value: not is_plain(value))
        table.refuse(f"{column} is not one plain line", unprintable, "write it again")
    valid = "" if labels is None else f"labels are {', '.join(sorted(labels))}"
    fill_in = f"fill it in: {valid}" if valid else "fill it in"
    table.refuse("label is empty", table.offences("label", lambda value: not value), fill_in)
    if labels is not None:
        table.refuse("unknown label", table.offences("label", lambda v: v not in labels), valid)
    for column in ("name", "file", "patient", "site"):
        empty = table.offences(column, lambda value: not value)
        table.refuse(f"{column} is empty", empty, "fill it in, or remove the row")


def _check_splits(table: Table) -> None:
    """Check that all rows have a split or none has, and that a patient's rows have the same."""
    splits = [(row, row.values.get("split", "")) for row in table.rows]
    if not any(split for _, split in splits):
        return
    unknown = [(row.line, quote(split)) for row, split in splits if split not in PARTS]
    table.refuse("unknown split", unknown, f"splits are {', '.join(PARTS)}, or none at all")
    first: dict[str, tuple[int, str]] = {}
    divided: list[Offence] = []
    for row, split in splits:
        line, other = first.setdefault(row.values["patient"], (row.line, split))
        if split != other:
            patient = quote(row.values["patient"])
            divided.append((row.line, f"{patient}: {split}, but {other} in line {line}"))
    table.refuse("one patient in two splits", divided, "keep all images of a patient together")


def _find_images(root: Path, table: Table) -> list[Path]:
    """Find each row's image inside ``root``; refuse an image or a name that two rows have."""
    column = "file" if "file" in table.columns else "name"
    find = _by_file(root) if column == "file" else _by_name(root)
    real_folder = cache(os.path.realpath)
    paths: list[Path] = []
    unusable: list[Offence] = []
    seen: dict[str, int] = {}
    repeated: list[Offence] = []
    for row in table.rows:
        value = row.values[column]
        path = find(value)
        if isinstance(path, str):
            unusable.append((row.line, f"{quote(value)} {path}"))
            continue
        linked = path.is_symlink()
        real = os.path.realpath(path) if linked else f"{real_folder(path.parent)}/{path.name}"
        if not Path(real).is_relative_to(root):
            unusable.append((row.line, f"{quote(value)} is a link that leaves the folder"))
            continue
        paths.append(path)
        keys = {f"path {real}", f"name {row.values.get('name', value)}"}
        before = min((seen[key] for key in keys if key in seen), default=None)
        if before is not None:
            repeated.append((row.line, f"{quote(value)}, as in line {before}"))
        seen.update(dict.fromkeys(keys, row.line))
    table.refuse("no such image", unusable, f"correct column {column}, or remove the row")
    table.refuse("the same image or name twice", repeated, "keep one row per image")
    return paths


def _by_name(root: Path) -> Callable[[str], Path | str]:
    """Index the folder and ``images/``; return a function from a name to its path or problem."""
    index: defaultdict[str, list[Path]] = defaultdict(list)
    for folder in (root, root / "images"):
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if (stem := image_stem(path)) is not None:
                index[stem].append(path)

    def find(name: str) -> Path | str:
        paths = index.get(name, [])
        if len(paths) > 1:
            return f"is both {listed(str(path.relative_to(root)) for path in paths)}"
        if not paths:
            return f"is not in the folder or its images/ with {', '.join(SUFFIXES)}"
        return paths[0]

    return find


def _by_file(root: Path) -> Callable[[str], Path | str]:
    """Return a function from a relative path to the image's path or problem."""

    def find(file: str) -> Path | str:
        relative = PurePosixPath(file)
        if relative.is_absolute() or ".." in relative.parts or "\\" in file:
            return "is not a path inside the folder, written with /"
        path = root / relative
        if not os.access(path, os.R_OK):
            return "does not exist or may not be read"
        if path == root or image_stem(path) is None:
            return f"is not a DICOM folder or one of {', '.join(SUFFIXES)}"
        return path

    return find


def image_stem(path: Path) -> str | None:
    """An image file's name without suffix, or a DICOM folder's name; None for another file."""
    if path.is_dir():
        return path.name
    suffix = next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), None)
    return path.name[: -len(suffix)] if suffix else None
