"""A phantom: an artificial chest CT in HU, for demonstrations and tests.

Anatomy differs between patients (habitus, breathing, lung density, vessels, scars at the bases,
dependent density), and the recording differs between scanners. There are two diseases. Ground
glass is 9–14 patches in both lungs near the wall, mostly low and at the back. Consolidation is 7–11
patches with airless cores, mostly in one lung. A patch is nominally 22–45 mm across. Results on
phantoms say nothing about patients.

Breathing and habitus hide the disease from simple statistics. Measured on 600 phantoms of three
sites at 16×64×64 (`python benchmarks/phantom.py`), healthy against either disease: the best
threshold on mean lung HU, chosen on the same data, reaches a balanced accuracy of 0.63 (AUC 0.68).
AUC of others: mean HU 0.56, SD of HU 0.52, lung volume 0.58, share of the body in −700…−200 HU
0.73, share of the lung above −200 HU 0.71. Statistics that are tuned to the disease do better and
show how much there is to learn: SD within the lung 0.80, share of the body in −600…−300 HU 0.91,
the lung's 90th percentile 0.97 (with the lung's outline from the patient's healthy counterpart,
which no reader has).

Volumes are deterministic: every random number comes from numpy's SeedSequence of (seed, site,
patient, scan), without global state. These numbers are the same on every platform. The last bit of
a float may differ between processors, so that a voxel may differ by 1 HU.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.data.phantom.anatomy import build_chest
from ucadi_flwr.data.phantom.geometry import F32, Grid, make_grid, paint, tube_share
from ucadi_flwr.data.phantom.lung import (
    LABELS,
    PhantomLabel,
    draw_bands,
    draw_lesions,
    draw_vessels,
    lesion_shares,
)
from ucadi_flwr.data.phantom.patient import Patient, draw_patient
from ucadi_flwr.data.phantom.scanner import Scanner, acquire

__all__ = ["LABELS", "SHAPE", "PhantomLabel", "Shape", "Spacing", "make_volume"]

Shape = tuple[int, int, int]
Spacing = tuple[float, float, float]

#: The model's input, (D, H, W).
SHAPE: Final[Shape] = (16, 128, 128)

_SMALLEST: Final = 8  # voxels along an axis
_COVERAGE_MM: Final = 168.0  # height that the D slices cover, around mid-chest
_STEP_MM: Final = 6.6  # largest distance of the sub-slices that a slice averages

_BLOOD_HU: Final = 45.0
_ENHANCED_HU: Final = 210.0
_GLASS_HU: Final = -390.0
_GLASS: Final = 0.9  # share of ground glass in a full patch; the rest is the lung's own density
_SOLID_HU: Final = 40.0
_SCAR_HU: Final = -120.0
_AIRWAY_HU: Final = -985.0


def make_volume(
    label: PhantomLabel,
    scanner: Scanner,
    *,
    seed: int,
    site: int = 0,
    patient: int = 0,
    scan: int = 0,
    shape: Shape = SHAPE,
) -> tuple[NDArray[np.int16], Spacing]:
    """Make one scan.

    Indices increase from feet to head, from front to back, and from the patient's right to the
    left. The slices cover 168 mm of the chest for any D; the plane fits the patient.

    Args:
        label: the disease. It changes nothing else: "healthy" gives the healthy counterpart of
            any scan.
        scanner: how the chest is recorded.
        seed: of the experiment, at least 0.
        site: with ``seed`` and ``patient`` it identifies one person; at least 0.
        patient: the patient's number, at least 0.
        scan: the visit, at least 0. Visits differ in pose, breathing and noise; from 1 on lesions
            have grown or shrunk.
        shape: (D, H, W), at least 8 voxels along each axis.

    Returns:
        HU (D, H, W) int16, and the spacing of the voxels, mm (z, y, x).

    Raises:
        ValueError: the label is unknown, a number is negative, or a side is too short.
    """
    if label not in LABELS:
        raise ValueError(f"label must be one of {', '.join(LABELS)}, not {label!r}")
    if min(shape) < _SMALLEST:
        raise ValueError(f"each side must have at least {_SMALLEST} voxels, not {shape}")
    body, inner, disease, visit = (
        np.random.default_rng(np.random.SeedSequence((seed, site, patient), spawn_key=key))
        for key in ((0,), (1,), (2,), (3, scan))
    )
    person = draw_patient(body)
    width = person.field_of_view
    spacing = (_COVERAGE_MM / shape[0], width / shape[1], width / shape[2])
    per_slice = int(np.ceil(spacing[0] / _STEP_MM))
    grid = _draw_pose(spacing, shape, per_slice, visit)
    growth = 1.0 if scan == 0 else float(visit.uniform(0.8, 1.25))
    breath = float(visit.normal(0.0, 12.0))
    blood = _ENHANCED_HU if scanner.contrast_agent else _BLOOD_HU

    chest = build_chest(person, grid, blood, inner)
    glass, solid = lesion_shares(draw_lesions(label, person, disease, growth), grid)
    tissue = chest.parenchyma + np.float32(breath)
    paint(tissue, np.float32(_GLASS) * glass, _GLASS_HU)
    _paint_normal_markings(tissue, person, grid, blood, inner)
    paint(tissue, solid, _SOLID_HU)
    paint(chest.hu, chest.lung, tissue)
    paint(chest.hu, chest.airways, _AIRWAY_HU)
    return acquire(chest.hu, per_slice, spacing, scanner, visit), spacing


def _draw_pose(spacing: Spacing, shape: Shape, per_slice: int, rng: np.random.Generator) -> Grid:
    """A grid of sub-slices for a patient who lies slightly rotated and off-centre."""
    count = per_slice * (shape[0] - 1) + 1
    heights = (np.arange(count) - (count - 1) / 2) * (spacing[0] / per_slice)
    turn = float(rng.normal(0.0, 0.05))
    shift = (float(rng.normal(0.0, 4.0)), float(rng.normal(0.0, 4.0)))
    return make_grid(heights.astype(np.float32), spacing[1:], shape[1:], turn, shift)


def _paint_normal_markings(
    tissue: F32, patient: Patient, grid: Grid, blood: float, rng: np.random.Generator
) -> None:
    paint(tissue, tube_share(grid, draw_vessels(patient, rng)), blood)
    paint(tissue, tube_share(grid, draw_bands(patient, rng)), _SCAR_HU)
