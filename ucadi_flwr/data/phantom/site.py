"""Write phantom sites to disk: one folder for each, with a manifest and NIfTI images."""

import csv
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import nibabel
import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.data.phantom.lung import LABELS, PhantomLabel
from ucadi_flwr.data.phantom.scanner import site_scanner
from ucadi_flwr.data.phantom.volume import SHAPE, Shape, Spacing, make_volume
from ucadi_flwr.errors import DataError

#: With fewer scans, a class could be absent from training or from validation.
MIN_CASES: Final = 6

_SCANS_PER_REPEAT: Final = 8  # one in 8 scans is the second of its patient


@dataclass(frozen=True)
class PhantomCase:
    """One scan of a site: its file stem and class, the patient, and the number of the visit."""

    name: str
    label: PhantomLabel
    patient: int
    scan: int


def plan_site(site: int, cases: int, seed: int) -> list[PhantomCase]:
    """The cases of a site, in the manifest's order, with every class.

    Shares of the classes differ by site: healthy 40–60 % of the patients, ground glass 35–65 % of
    the others. One scan in eight is the second of its patient, with the same anatomy and class,
    other noise and pose, and lesions that have grown or shrunk.

    Args:
        site: the site's number, at least 0.
        cases: the number of scans.
        seed: of the experiment.

    Raises:
        DataError: there are fewer than MIN_CASES cases.
    """
    if cases < MIN_CASES:
        raise DataError(f"a phantom site needs at least {MIN_CASES} cases, not {cases}")
    rng = np.random.default_rng(np.random.SeedSequence((seed, site), spawn_key=(0,)))
    repeats = cases // _SCANS_PER_REPEAT
    patients = cases - repeats
    healthy = round(patients * rng.uniform(0.4, 0.6))
    glass = round((patients - healthy) * rng.uniform(0.35, 0.65))
    counts = (healthy, glass, patients - healthy - glass)
    labels = [label for label, count in zip(LABELS, counts, strict=True) for _ in range(count)]
    order = rng.permutation(patients)
    returning = set(rng.permutation(patients)[:repeats].tolist())
    return [
        PhantomCase(f"site{site}-p{patient:03d}-{scan + 1}", labels[order[patient]], patient, scan)
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

    The folder appears under its name only when it is complete.

    Args:
        folder: the new folder.
        site: the site's number; it fixes the scanner (:func:`.scanner.site_scanner`).
        cases: the number of scans.
        seed: of the experiment.
        shape: (D, H, W) of each volume.
        on_case: called after each image.

    Raises:
        DataError: the folder exists, or there are too few cases.
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
            hu, spacing = make_volume(
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
    """Write root/site-1, root/site-2, … with :func:`write_site`; return the folders.

    Raises:
        DataError: one of the folders exists (checked before writing), or there are too few cases.
    """
    folders = [root / f"site-{site}" for site in range(1, sites + 1)]
    for folder in folders:
        if folder.exists():
            raise DataError(f"{folder} exists already: remove it or choose another folder")
    for site, folder in enumerate(folders, start=1):
        write_site(folder, site, cases_per_site, seed, shape, on_case)
    return folders


def to_nifti(hu: NDArray[np.int16], spacing: Spacing) -> nibabel.Nifti1Image:
    """A NIfTI image (W, H, D) of HU (D, H, W); its axes run left, back, up.

    The affine maps voxels to mm in NIfTI's frame (right, front, up), with the origin mid-volume.

    Args:
        hu: (D, H, W), HU.
        spacing: mm (z, y, x).
    """
    steps = np.array([-spacing[2], -spacing[1], spacing[0]])
    affine = np.diag([*steps, 1.0])
    affine[:3, 3] = -steps * (np.array(hu.shape[::-1]) - 1) / 2
    image = nibabel.Nifti1Image(np.ascontiguousarray(hu.transpose(2, 1, 0)), affine)
    image.header.set_xyzt_units("mm")
    return image
