"""A patient's habitus and breathing, and the outlines of the chest that follow from them.

Dimensions are those of an adult, in mm, chosen by eye from axial CT.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from ucadi_flwr.data.phantom.geometry import F32, Grid

#: Thickness of the rib cage, mm.
RIB_MM: Final = 8.0
#: From the rib cage to the lung, mm.
PLEURA_MM: Final = 3.0

_ROUNDNESS: Final = 2.3  # exponent of the chest wall's superellipse


@dataclass(frozen=True)
class Patient:
    """One adult's habitus and breathing; lengths in mm, densities in HU."""

    width: tuple[float, float]  # mid-line to inner chest wall, right and left
    depth: float  # centre to inner chest wall, front and back
    muscle: float
    fat: float
    breast: float  # radius; 0 for none
    dome: tuple[float, float]  # height of the right and left half of the diaphragm
    heart: float  # scale
    lung: float  # density of aerated lung
    gradient: float  # density added from the centre to the back, and taken off in front
    dependent: float  # density added along the back wall
    mottle: float  # SD of slow changes of density
    vessels: float  # scale of the vessels' calibre
    ribs: float  # phase along z
    bone: float  # density of cancellous bone
    margin: float  # air around the body
    bands: int  # linear scars at the bases

    @property
    def field_of_view(self) -> float:
        """Width of the square that is reconstructed, mm."""
        return 2.0 * (max(self.width) + RIB_MM + self.muscle + self.fat + self.margin)

    @property
    def spine(self) -> float:
        """How far behind the centre the vertebral bodies lie, mm."""
        return 0.86 * self.depth - 12.0


def draw_patient(rng: np.random.Generator) -> Patient:
    """Draw an adult; the depth of breathing (0–1) affects density, diaphragm and chest together."""
    breath = rng.beta(2.2, 1.6)
    width = rng.uniform(126.0, 144.0)
    fat = 6.0 + 18.0 * rng.beta(1.4, 2.0)
    dome = -48.0 - 42.0 * breath + rng.normal(0.0, 6.0)
    lung = float(np.clip(-690.0 - 170.0 * breath + rng.normal(0.0, 15.0), -900.0, -670.0))
    headroom = -605.0 - lung  # keeps healthy lung at the back less dense than ground glass
    return Patient(
        width=(width + rng.normal(2.0, 3.0), width + rng.normal(-2.0, 3.0)),
        depth=width * rng.uniform(0.64, 0.72) + 8.0 * breath,
        muscle=rng.uniform(14.0, 22.0),
        fat=fat,
        breast=float(rng.integers(2)) * (26.0 + fat * rng.uniform(0.3, 0.8)),
        dome=(dome, dome - rng.uniform(4.0, 18.0)),
        heart=rng.uniform(0.86, 1.12),
        lung=lung,
        gradient=headroom * rng.uniform(0.0, 0.55),
        dependent=headroom * rng.uniform(0.0, 0.5),
        mottle=rng.uniform(5.0, 18.0),
        vessels=rng.uniform(0.75, 1.4),
        ribs=rng.uniform(0.0, 1.0),
        bone=rng.uniform(150.0, 260.0),
        margin=rng.uniform(5.0, 10.0),
        bands=int(rng.integers(0, 4)),
    )


def wall_radius(patient: Patient, angle: F32) -> F32:
    """Distance from the centre to the inner chest wall, mm; ``angle``: 0 in front, π/2 left."""
    sideways, forwards = np.sin(angle), np.cos(angle)
    half = np.where(sideways < 0, np.float32(patient.width[0]), np.float32(patient.width[1]))
    total = np.abs(sideways / half) ** _ROUNDNESS + np.abs(forwards / patient.depth) ** _ROUNDNESS
    gutter = 1.0 + 0.08 * np.exp(-(((np.abs(angle) - 2.45) / 0.45) ** 2))  # beside the spine
    radius: F32 = (gutter * total ** (-1.0 / _ROUNDNESS)).astype(np.float32)
    return radius


def taper(z: F32) -> F32:
    """The chest wall's scale at height z, mm: 1 to mid-chest, smaller towards the apex."""
    up = np.clip((z - 25.0) / 100.0, 0.0, 1.0)
    scale: F32 = (1.0 - 0.5 * up * up).astype(np.float32)
    return scale


def diaphragm(patient: Patient, x: F32, y: F32) -> F32:
    """Height of the diaphragm above each (x, y), mm."""
    right = x < 0
    side = np.where(right, np.float32(-0.5 * patient.width[0]), np.float32(0.5 * patient.width[1]))
    top = np.where(right, np.float32(patient.dome[0]), np.float32(patient.dome[1]))
    height: F32 = top - 45.0 * ((x - side) / 75.0) ** 2 - 38.0 * ((y + 8.0) / 85.0) ** 2
    return height.astype(np.float32)


def heart_distance(patient: Patient, grid: Grid, z: F32) -> F32:
    """Distance to the heart's surface, mm, negative inside, at heights z (Z, 1, 1).

    The heart is an ellipsoid whose tip turns to the left front.
    """
    x, y = grid.x - 19.0, grid.y + 26.0
    long, short = 0.82 * x - 0.57 * y, 0.57 * x + 0.82 * y
    flat = (long / 62.0) ** 2 + (short / 43.0) ** 2
    size = patient.heart
    scaled = np.sqrt(flat + ((z + 36.0) / 62.0) ** 2) * np.float32(1.0 / size)
    away: F32 = (scaled - np.float32(1.0)) * np.float32(48.0 * size)
    return away
