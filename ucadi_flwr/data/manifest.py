"""Reading and checking a site's manifest: which images a site has, of whom, with which label.

A site is a folder with ``manifest.csv``, or else with exactly one CSV that has the columns.
Columns: ``name`` (a file's stem, found in the folder or in its ``images/``) or ``file`` (a
path relative to the folder); ``label``; ``patient`` (any key, one per patient); optionally
``site`` and ``split`` (train, validation, test). Other columns are ignored, but a column that
identifies people (a patient's name, birth date, …) is refused: it does not belong there.

The manifest is untrusted: its size is checked before it is read, and no row may lead outside
the folder, by ``..``, an absolute path or a link. Images are found here, never opened.
"""

import csv
import os
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

from ucadi_flwr.errors import DataError
from ucadi_flwr.files.csv_reader import Offence, Table, is_plain, listed, quote, read_table
from ucadi_flwr.files.limits import HEADER_BYTES, MANIFEST_BYTES

SUFFIXES = (".nii.gz", ".nii", ".png", ".jpg", ".jpeg")
SPLITS = ("train", "validation", "test")
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
    """Read a site's manifest, in the order of its rows; ``labels`` are those a row may have.

    None is any label. Without a ``site`` column, the site is ``default_site``, or the folder's
    name if that is None. A patient key means one person throughout a manifest, whatever the site.
    Raises DataError, one line that names file, lines and remedy, for anything that is not as
    described above.
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
    """Group cases by site, sites in the order of their names."""
    groups: defaultdict[str, list[Case]] = defaultdict(list)
    for case in cases:
        groups[case.site].append(case)
    return dict(sorted(groups.items()))


def _find_manifest(root: Path) -> Path:
    manifest = root / "manifest.csv"
    if manifest.is_file():
        return manifest
    tables = sorted(path for path in root.glob("*.csv") if path.is_file())
    fitting = [path for path in tables if not _missing(_peek_columns(path))]
    if len(fitting) == 1:
        return fitting[0]
    if fitting:
        names = listed(path.name for path in fitting)
        raise DataError(f"{root}: {names} could each be the manifest; call one manifest.csv")
    wanted = "columns name or file, label and patient"
    if tables:
        names = listed(path.name for path in tables)
        raise DataError(f"{root}: no manifest.csv, and no {wanted} in {names}; add what is missing")
    raise DataError(f"{root}: no manifest; add manifest.csv with {wanted}")


def _peek_columns(path: Path) -> list[str]:
    """Read the column names of what may be no manifest at all; none if they do not parse."""
    with path.open("rb") as file:
        first = file.read(HEADER_BYTES).decode("utf-8-sig", errors="replace").splitlines()[:1]
    try:
        return [column.strip().casefold() for column in next(csv.reader(first, strict=True), [])]
    except csv.Error:
        return []


def _read(manifest: Path) -> Table:
    """The rows, with the columns' names in lower case."""

    def check_columns(columns: list[str]) -> None:
        columns[:] = [column.casefold() for column in columns]
        _check_columns(manifest, columns)

    remedy = "divide it" if manifest.stat().st_size > MANIFEST_BYTES else "change its permissions"
    return read_table(manifest, MANIFEST_BYTES, remedy=remedy, check_columns=check_columns)


def _missing(header: Collection[str]) -> list[str]:
    missing = [column for column in ("label", "patient") if column not in header]
    return missing if "name" in header or "file" in header else ["name or file", *missing]


def _check_columns(manifest: Path, header: Sequence[str]) -> None:
    missing = _missing(header)
    if missing:
        hint = " (separate columns by commas)" if any(";" in column for column in header) else ""
        found = f"the columns are {listed(header)}{hint}" if header else "the file is empty"
        raise DataError(f"{manifest}: no column {listed(missing)}; {found}; add what is missing")
    repeated = sorted({column for column in header if header.count(column) > 1 and column})
    if repeated:
        raise DataError(f"{manifest}: line 1 has column {listed(repeated)} twice; keep one")
    people = [column for column in header if _identifies(column)]
    if people:
        raise DataError(
            f"{manifest}: column {listed(people)} identifies people and does not belong here; "
            "remove it, and give each patient a pseudonym in column patient"
        )


def _identifies(column: str) -> bool:
    plain = "".join(filter(str.isalnum, column))
    return plain in _IDENTIFYING or any(part in plain for part in _IDENTIFYING_PARTS)


def _check_values(table: Table, labels: Collection[str] | None) -> None:
    for column in _COLUMNS:
        strange = table.offences(column, lambda value: not is_plain(value))
        table.refuse(f"{column} is not one plain line", strange, "write it again")
    valid = "" if labels is None else f"labels are {', '.join(sorted(labels))}"
    fill_in = f"fill it in: {valid}" if valid else "fill it in"
    table.refuse("label is empty", table.offences("label", lambda value: not value), fill_in)
    if labels is not None:
        table.refuse("unknown label", table.offences("label", lambda v: v not in labels), valid)
    for column in ("name", "file", "patient", "site"):
        empty = table.offences(column, lambda value: not value)
        table.refuse(f"{column} is empty", empty, "fill it in, or remove the row")


def _check_splits(table: Table) -> None:
    """Demand one known split per patient, and a split for every row or for none."""
    given = [(row, row.values.get("split", "")) for row in table.rows]
    if not any(split for _, split in given):
        return
    unknown = [(row.line, quote(split)) for row, split in given if split not in SPLITS]
    table.refuse("unknown split", unknown, f"splits are {', '.join(SPLITS)}, or none at all")
    first: dict[str, tuple[int, str]] = {}
    torn: list[Offence] = []
    for row, split in given:
        line, other = first.setdefault(row.values["patient"], (row.line, split))
        if split != other:
            patient = quote(row.values["patient"])
            torn.append((row.line, f"{patient}: {split}, but {other} in line {line}"))
    table.refuse("one patient in two splits", torn, "keep all images of a patient together")


def _find_images(root: Path, table: Table) -> list[Path]:
    """Find every row's image inside ``root``, no image and no name twice."""
    column = "file" if "file" in table.columns else "name"
    find = _by_file(root) if column == "file" else _by_name(root)
    real_folder = cache(os.path.realpath)
    paths: list[Path] = []
    lost: list[Offence] = []
    seen: dict[str, int] = {}
    repeated: list[Offence] = []
    for row in table.rows:
        value = row.values[column]
        found = find(value)
        if isinstance(found, str):
            lost.append((row.line, f"{quote(value)} {found}"))
            continue
        linked = found.is_symlink()
        real = os.path.realpath(found) if linked else f"{real_folder(found.parent)}/{found.name}"
        if not Path(real).is_relative_to(root):
            lost.append((row.line, f"{quote(value)} is a link that leaves the folder"))
            continue
        paths.append(found)
        keys = {f"path {real}", f"name {row.values.get('name', value)}"}
        before = min((seen[key] for key in keys if key in seen), default=None)
        if before is not None:
            repeated.append((row.line, f"{quote(value)}, as in line {before}"))
        seen.update(dict.fromkeys(keys, row.line))
    table.refuse("no such image", lost, f"correct column {column}, or remove the row")
    table.refuse("the same image or name twice", repeated, "keep one row per image")
    return paths


def _by_name(root: Path) -> Callable[[str], Path | str]:
    """Index the folder and its ``images/`` once; a name gives its path or what is wrong."""
    index: defaultdict[str, list[Path]] = defaultdict(list)
    for folder in (root, root / "images"):
        for path in sorted(folder.iterdir()) if folder.is_dir() else ():
            if (stem := image_stem(path)) is not None:
                index[stem].append(path)

    def find(name: str) -> Path | str:
        found = index.get(name, [])
        if len(found) > 1:
            return f"is both {listed(str(path.relative_to(root)) for path in found)}"
        if not found:
            return f"is not in the folder or its images/ with {', '.join(SUFFIXES)}"
        return found[0]

    return find


def _by_file(root: Path) -> Callable[[str], Path | str]:
    """Give a relative path's image or what is wrong with it."""

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
    """Give the name an image goes by: without its suffix, or a folder's name; None if neither."""
    if path.is_dir():
        return path.name
    suffix = next((suffix for suffix in SUFFIXES if path.name.lower().endswith(suffix)), None)
    return path.name[: -len(suffix)] if suffix else None
