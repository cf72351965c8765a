"""Sites full of phantoms on disk: a folder each, with a manifest and NIfTI images."""

import csv
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import nibabel
import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.data.phantom.lung import LABELS, Label
from ucadi_flwr.data.phantom.scanner import site_scanner
from ucadi_flwr.data.phantom.volume import SHAPE, Shape, Spacing, volume
from ucadi_flwr.errors import DataError

#: Fewer scans than this cannot hold every class in training and in validation.
MIN_CASES: Final = 6

_SCANS_PER_SECOND_SCAN: Final = 8  # of 8 scans, one is a patient's second


@dataclass(frozen=True)
class Case:
    """One scan of a site: its file stem, its class, and which patient's which visit it shows."""

    name: str
    label: Label
    patient: int
    scan: int


def plan_site(site: int, cases: int, seed: int) -> list[Case]:
    """Who is scanned at a site, in the manifest's order; every class is there.

    The mix differs by site (healthy 40–60 % of the patients, ground glass 35–65 % of the others).
    One scan in eight is a patient's second: the same anatomy and class, other noise and pose,
    lesions grown or shrunk. Raises DataError for fewer than MIN_CASES cases.
    """
    if cases < MIN_CASES:
        raise DataError(f"a phantom site needs at least {MIN_CASES} cases, not {cases}")
    rng = np.random.default_rng(np.random.SeedSequence((seed, site), spawn_key=(0,)))
    twice = cases // _SCANS_PER_SECOND_SCAN
    patients = cases - twice
    healthy = round(patients * rng.uniform(0.4, 0.6))
    glass = round((patients - healthy) * rng.uniform(0.35, 0.65))
    counts = (healthy, glass, patients - healthy - glass)
    labels = [label for label, count in zip(LABELS, counts, strict=True) for _ in range(count)]
    order = rng.permutation(patients)
    returning = set(rng.permutation(patients)[:twice].tolist())
    return [
        Case(f"site{site}-p{patient:03d}-{scan + 1}", labels[order[patient]], patient, scan)
        for patient in range(patients)
        for scan in range(2 if patient in returning else 1)
    ]


def write_site(
    folder: Path,
    site: int,
    cases: int,
    seed: int,
    shape: Shape = SHAPE,
    on_case: Callable[[], None] | None = None,
) -> None:
    """Write folder/manifest.csv (name, label, patient) and folder/images/<name>.nii.gz.

    The images come from the site's own scanner; the folder appears only when it is complete.
    on_case is called after each image. Raises DataError if the folder exists or cases are too few.
    """
    if folder.exists():
        raise DataError(f"{folder} exists already: remove it or choose another folder")
    plan = plan_site(site, cases, seed)
    scanner = site_scanner(site)
    partial = folder.with_name(f".{folder.name}.partial")
    if partial.exists():  # left by a run that was cut short
        shutil.rmtree(partial)
    images = partial / "images"
    images.mkdir(parents=True)
    try:
        for case in plan:
            hu, spacing = volume(
                case.label,
                scanner,
                seed=seed,
                site=site,
                patient=case.patient,
                scan=case.scan,
                shape=shape,
            )
            nibabel.save(to_nifti(hu, spacing), images / f"{case.name}.nii.gz")
            if on_case is not None:
                on_case()
        with (partial / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(("name", "label", "patient"))
            rows.writerows(
                (case.name, case.label, f"site{site}-p{case.patient:03d}") for case in plan
            )
        partial.rename(folder)
    except BaseException:
        shutil.rmtree(partial)
        raise


def write_phantom(
    root: Path,
    sites: int,
    cases_per_site: int,
    seed: int,
    shape: Shape = SHAPE,
    on_case: Callable[[], None] | None = None,
) -> list[Path]:
    """Write root/site-1, root/site-2, … and return them; see :func:`write_site`.

    Raises DataError before anything is written if one of the folders exists.
    """
    folders = [root / f"site-{site}" for site in range(1, sites + 1)]
    for folder in folders:
        if folder.exists():
            raise DataError(f"{folder} exists already: remove it or choose another folder")
    for site, folder in enumerate(folders, start=1):
        write_site(folder, site, cases_per_site, seed, shape, on_case)
    return folders


def to_nifti(hu: NDArray[np.int16], spacing: Spacing) -> nibabel.Nifti1Image:
    """From HU (D, H, W) an image (W, H, D) whose axes run left, back, up; spacing (z, y, x), mm.

    The affine leads to NIfTI's own frame (right, front, up), its origin mid-volume.
    """
    steps = np.array([-spacing[2], -spacing[1], spacing[0]])
    affine = np.diag([*steps, 1.0])
    affine[:3, 3] = -steps * (np.array(hu.shape[::-1]) - 1) / 2
    image = nibabel.Nifti1Image(np.ascontiguousarray(hu.transpose(2, 1, 0)), affine)
    image.header.set_xyzt_units("mm")
    return image
