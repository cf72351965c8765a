"""One patient's chest: all tissues except the vessels and lesions in the lungs.

HU are textbook values: air −1000, fat −100, muscle 50, unenhanced blood 45, cancellous bone
150–260, the thin cortex 400–500 after partial volume.
"""

from dataclasses import dataclass

import numpy as np

from ucadi_flwr.data.phantom.geometry import F32, Grid, inside, paint, smooth_field
from ucadi_flwr.data.phantom.organs import (
    airway_share,
    paint_below_diaphragm,
    paint_bones,
    paint_mediastinum,
)
from ucadi_flwr.data.phantom.patient import (
    PLEURA_MM,
    RIB_MM,
    Patient,
    diaphragm,
    heart_distance,
    taper,
    wall_radius,
)


@dataclass(frozen=True)
class Chest:
    """The parts of a chest, each (Z, H, W) float32.

    Attributes:
        hu: everything except the lungs, HU.
        lung: share of each voxel that is lung, 0–1.
        parenchyma: density of lung tissue without vessels, HU.
        airways: share of each voxel that is air in the airways, 0–1.
    """

    hu: F32
    lung: F32
    parenchyma: F32
    airways: F32


def build_chest(patient: Patient, grid: Grid, blood: float, rng: np.random.Generator) -> Chest:
    """Build a patient's chest on a grid; ``blood`` in HU (45, or more with contrast agent)."""
    from_centre = np.hypot(grid.x, grid.y)
    angle = np.arctan2(grid.x, -grid.y)
    radius = wall_radius(patient, angle)
    wall = from_centre - radius * taper(grid.z)  # (Z, H, W): mm outside the inner chest wall
    hu = _outer_chest(patient, grid, from_centre - radius)
    paint(hu, inside(wall - RIB_MM, grid.pixel), 15.0)
    _paint_ribs(hu, patient, grid, wall, angle)
    paint(hu, inside(wall, grid.pixel), -75.0)
    paint_below_diaphragm(hu, patient, grid, wall, blood)
    paint_mediastinum(hu, patient, grid, blood)
    paint_bones(hu, patient, grid)
    return Chest(
        hu=hu,
        lung=_lung(patient, grid, wall),
        parenchyma=_parenchyma(patient, grid, wall, rng),
        airways=airway_share(grid),
    )


def _outer_chest(patient: Patient, grid: Grid, wall: F32) -> F32:
    """Air, fat and muscle (Z, H, W), HU; wall (1, H, W): mm outside the widest inner wall."""
    hu = np.full((1, *grid.shape[1:]), -1000.0, np.float32)
    furrow = 4.0 * np.exp(-((grid.x / 22.0) ** 2)) * (grid.y > 0)
    fat = patient.fat * (0.8 - 0.2 * np.cos(2.0 * np.arctan2(grid.x, -grid.y)))
    skin = wall - (RIB_MM + patient.muscle + fat) + furrow
    couch = grid.y - (patient.depth + RIB_MM + patient.muscle + 0.45 * patient.fat)  # lies flat
    np.maximum(skin, couch, out=skin)
    paint(hu, inside(skin, grid.pixel), -100.0)
    hu = np.repeat(hu, grid.shape[0], axis=0)
    if patient.breast:
        _paint_breasts(hu, patient, grid)
    back = np.clip(grid.y / patient.depth, -0.6, 1.0)  # thin in front, thick beside the spine
    muscle = wall - (RIB_MM + patient.muscle * (0.7 + 0.3 * back)) + furrow
    paint(hu, inside(muscle, grid.pixel), 52.0)
    return hu


def _paint_breasts(hu: F32, patient: Patient, grid: Grid) -> None:
    """Fat with a denser core, on both sides in front."""
    r = patient.breast
    front = -0.93 * patient.depth - RIB_MM - 0.3 * (patient.muscle + patient.fat)
    flat = ((np.abs(grid.x) - 68.0) / 1.35) ** 2 + (grid.y - front) ** 2
    away = np.sqrt(flat + ((grid.z + 15.0) / 1.2) ** 2)
    paint(hu, inside(away - r, grid.pixel), -95.0)
    paint(hu, 0.5 * inside(away - 0.55 * r, 8.0), 35.0)


def _paint_ribs(hu: F32, patient: Patient, grid: Grid, wall: F32, angle: F32) -> None:
    """Ribs in the shell outside the inner wall: they slope down from the spine to the front."""
    period, slope = 27.0, 80.0
    z, y, x = np.nonzero(np.abs(wall - 0.5 * RIB_MM) < 0.5 * RIB_MM + grid.pixel)
    across = wall[z, y, x] - np.float32(0.5 * RIB_MM)
    turn = (grid.z + slope * (1.0 - np.abs(angle) / np.float32(np.pi)))[z, y, x]
    phase = turn / np.float32(period) + np.float32(patient.ribs)
    along = np.abs(phase - np.rint(phase)) * np.float32(period)
    edge = np.maximum(np.abs(across) - np.float32(0.5 * RIB_MM), along - 6.5)
    rib = hu[z, y, x]
    paint(rib, inside(edge, grid.pixel), 480.0)
    paint(rib, inside(edge + 3.0, grid.pixel), float(patient.bone))
    hu[z, y, x] = rib


def _lung(patient: Patient, grid: Grid, wall: F32) -> F32:
    """Share of each voxel that is lung: inside the ribs, beside the heart, above the diaphragm."""
    x, y = grid.x, grid.y
    column = np.abs(x) - (11.0 + 21.0 * np.exp(-(((y - 8.0) / 48.0) ** 2)))
    spine = np.hypot(x, y - patient.spine) - 25.0
    aorta = np.hypot(x - 24.0, y - patient.spine + 22.0) - 16.0
    middle = np.minimum(np.minimum(column, spine), aorta)
    edge = np.maximum(wall + PLEURA_MM, -middle)
    np.maximum(edge, diaphragm(patient, x, y) - grid.z, out=edge)
    near = np.abs(grid.axes[0] + 36.0) < 80.0
    edge[near] = np.maximum(edge[near], 4.0 - heart_distance(patient, grid, grid.z[near]))
    return inside(edge, grid.pixel)


def _parenchyma(patient: Patient, grid: Grid, wall: F32, rng: np.random.Generator) -> F32:
    """Density of aerated lung, HU: slow variation, a gradient to the back, a band at the back."""
    density = smooth_field(rng, grid.shape, 6)
    density *= np.float32(2.0 * patient.mottle)
    density += np.float32(patient.lung)
    density += (patient.gradient / patient.depth) * grid.y
    behind = np.clip(grid.y / np.float32(patient.depth), 0.0, 1.0)
    band = np.exp(np.minimum(wall + PLEURA_MM, 0.0) / np.float32(13.0))
    band *= patient.dependent * behind
    density += band
    return density
