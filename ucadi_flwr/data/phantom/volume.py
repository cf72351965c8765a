"""A phantom: a made-up chest CT in HU, for demonstrations and tests.

Anatomy differs by patient (habitus, breathing, lung density, vessels, scars at the bases, dependent
density), the recording by scanner. Two diseases: ground glass, as 9–14 patches in both lungs near
the wall, rather low and at the back; and consolidation, as 7–11 patches with airless cores, rather
on one side. A patch is nominally 22–45 mm across. It is a toy: no figure on it says anything about
patients.

Breathing and habitus hide the disease from trivial statistics. Measured on 600 phantoms of three
sites at 16×64×64 (`python benchmarks/phantom.py`), healthy against either disease: the best
threshold on mean lung HU, chosen with hindsight, reaches a balanced accuracy of 0.63 (AUC 0.68).
AUC of others: mean HU 0.56, SD of HU 0.52, lung volume 0.58, share of the body in −700…−200 HU
0.73, share of the lung above −200 HU 0.71. What is tuned to the disease does better, and tells how
much there is to learn: SD within the lung 0.80, share of the body in −600…−300 HU 0.91, the lung's
90th percentile 0.97 (the lung as outlined on the patient's healthy twin, which no reader has).

Deterministic: every draw comes from numpy's SeedSequence of (seed, site, patient, scan), with no
global state. The draws are the same on every platform; the last bit of a float is not, so between
processors a voxel may round to its neighbour, 1 HU away.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.data.phantom.anatomy import build_chest
from ucadi_flwr.data.phantom.geometry import F32, Grid, make_grid, paint, tube_share
from ucadi_flwr.data.phantom.lung import (
    LABELS,
    Label,
    draw_bands,
    draw_lesions,
    draw_vessels,
    lesion_shares,
)
from ucadi_flwr.data.phantom.patient import Patient, draw_patient
from ucadi_flwr.data.phantom.scanner import Scanner, acquire

__all__ = ["LABELS", "SHAPE", "Label", "Shape", "Spacing", "volume"]

Shape = tuple[int, int, int]
Spacing = tuple[float, float, float]

#: The model's input, (D, H, W).
SHAPE: Final[Shape] = (16, 128, 128)

_SMALLEST: Final = 8  # voxels along an axis
_COVERAGE_MM: Final = 168.0  # what the D slices cover, around mid-chest
_STEP_MM: Final = 6.6  # at most, between the sub-slices that a slice averages

_BLOOD_HU: Final = 45.0
_ENHANCED_HU: Final = 210.0
_GLASS_HU: Final = -390.0  # of the nine tenths that change; the lung's own density shows through
_GLASS: Final = 0.9
_SOLID_HU: Final = 40.0
_SCAR_HU: Final = -120.0
_AIRWAY_HU: Final = -985.0


def volume(
    label: Label,
    scanner: Scanner,
    *,
    seed: int,
    site: int = 0,
    patient: int = 0,
    scan: int = 0,
    shape: Shape = SHAPE,
) -> tuple[NDArray[np.int16], Spacing]:
    """Make one scan: HU (D, H, W) int16, and the spacing of its voxels, mm (z, y, x).

    Indices grow from feet to head, from front to back, and from the patient's right to the left.
    (seed, site, patient) is one person; label adds disease and changes nothing else, so "healthy"
    gives any scan's healthy twin. scan 0, 1, … are visits: other pose, breath and noise, and from
    1 on lesions grown or shrunk. All four are at least 0. The slices cover 168 mm of the chest
    whatever D is; the plane fits the patient.

    Raises ValueError for an unknown label, a negative number, a side below 8 voxels.
    """
    if label not in LABELS:
        raise ValueError(f"label must be one of {', '.join(LABELS)}, not {label!r}")
    if min(shape) < _SMALLEST:
        raise ValueError(f"each side must have at least {_SMALLEST} voxels, not {shape}")
    body, inner, disease, visit = (
        np.random.default_rng(np.random.SeedSequence((seed, site, patient), spawn_key=key))
        for key in ((0,), (1,), (2,), (3, scan))
    )
    who = draw_patient(body)
    across = who.field_of_view
    spacing = (_COVERAGE_MM / shape[0], across / shape[1], across / shape[2])
    per_slice = int(np.ceil(spacing[0] / _STEP_MM))
    grid = _draw_pose(spacing, shape, per_slice, visit)
    growth = 1.0 if scan == 0 else float(visit.uniform(0.8, 1.25))
    breath = float(visit.normal(0.0, 12.0))
    blood = _ENHANCED_HU if scanner.contrast_agent else _BLOOD_HU

    chest = build_chest(who, grid, blood, inner)
    haze, solid = lesion_shares(draw_lesions(label, who, disease, growth), grid)
    tissue = chest.parenchyma + np.float32(breath)
    paint(tissue, np.float32(_GLASS) * haze, _GLASS_HU)
    _paint_normal_markings(tissue, who, grid, blood, inner)
    paint(tissue, solid, _SOLID_HU)
    paint(chest.hu, chest.lung, tissue)
    paint(chest.hu, chest.airways, _AIRWAY_HU)
    return acquire(chest.hu, per_slice, spacing, scanner, visit), spacing


def _draw_pose(spacing: Spacing, shape: Shape, per_slice: int, rng: np.random.Generator) -> Grid:
    """A grid of sub-slices under a patient who lies a little turned and off-centre."""
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
