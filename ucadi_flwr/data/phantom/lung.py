"""The structures in the lungs: branching vessels, scars, and the lesions of disease."""

from dataclasses import dataclass
from typing import Final, Literal, get_args

import numpy as np

from ucadi_flwr.data.phantom.geometry import F32, Grid, Tubes, vector
from ucadi_flwr.data.phantom.patient import PLEURA_MM, Patient, taper, wall_radius

PhantomLabel = Literal["healthy", "ground-glass", "consolidation"]
LABELS: Final[tuple[PhantomLabel, ...]] = get_args(PhantomLabel)

#: Diameter of a lesion at the first scan, mm.
LESION_MM: Final = (22.0, 45.0)

_LOBES: Final = np.array(  # first directions of a lung's vessels: outwards, back, up
    [
        (0.4, -0.2, 1.0),
        (0.6, -0.9, 0.5),
        (0.6, 0.7, 0.7),
        (1.0, 0.0, 0.25),
        (0.8, -0.8, -0.3),
        (1.0, 0.25, -0.35),
        (0.5, 1.0, -0.1),
        (0.5, -0.3, -1.0),
        (0.8, 0.2, -0.9),
        (0.35, 0.8, -0.8),
    ],
    np.float32,
)


def draw_vessels(patient: Patient, rng: np.random.Generator) -> Tubes:
    """The vessels of both lungs: trees from each hilum, five generations, each thinner."""
    starts: list[F32] = []
    ends: list[F32] = []
    radii: list[F32] = []
    for side in (-1.0, 1.0):
        direction = _unit(_LOBES * vector(side, 1.0, 1.0) + 0.3 * _normal(rng, _LOBES.shape))
        start = vector(side * 40.0, 10.0, 4.0) + 5.0 * _normal(rng, direction.shape)
        length, radius = 34.0, 3.7 * patient.vessels
        for _ in range(5):
            count = len(direction)
            end = start + direction * _uniform(rng, 0.8 * length, 1.2 * length, (count, 1))
            starts.append(start)
            ends.append(end)
            radii.append(_uniform(rng, 0.85 * radius, 1.15 * radius, (count,)))
            start, direction = np.repeat(end, 2, axis=0), np.repeat(direction, 2, axis=0)
            direction = _unit(direction + 0.45 * _normal(rng, direction.shape))
            length, radius = 0.8 * length, 0.68 * radius
    return Tubes(np.concatenate(starts), np.concatenate(ends), np.concatenate(radii))


def draw_bands(patient: Patient, rng: np.random.Generator) -> Tubes:
    """Linear scars near the bases, 25–50 mm long, 4–6 mm thick: a normal variant, possibly none."""
    side = rng.choice([-1.0, 1.0], patient.bands)
    start = np.stack(
        [
            side * rng.uniform(60.0, 95.0, patient.bands),
            rng.uniform(-25.0, 50.0, patient.bands),
            rng.uniform(-55.0, -20.0, patient.bands),
        ],
        axis=1,
    ).astype(np.float32)
    direction = _unit(_normal(rng, start.shape) * vector(1.0, 1.0, 0.2))
    end = start + direction * _uniform(rng, 25.0, 50.0, (patient.bands, 1))
    return Tubes(start, end, _uniform(rng, 2.0, 3.0, (patient.bands,)))


@dataclass(frozen=True)
class Lesion:
    """One patch of disease.

    Attributes:
        centre: (x, y, z), mm, in the patient's frame.
        radius: mm.
        stretch: (3,), factors of the radius along x, y and z.
        waves: (3, 3), three waves that make the edge uneven, radians per mm.
        phases: (3,), phases of the waves, radians.
        solid: whether the ground glass has a core without air (consolidation).
    """

    centre: F32
    radius: float
    stretch: F32
    waves: F32
    phases: F32
    solid: bool


def draw_lesions(
    label: PhantomLabel, patient: Patient, rng: np.random.Generator, growth: float
) -> list[Lesion]:
    """The lesions of a label; none for "healthy".

    Ground glass: 9–14 patches, alternating between the lungs, near the wall, mostly low and at the
    back (as in COVID-19). Consolidation: 7–11 patches with a halo of ground glass, three in four in
    one lung. ``growth`` multiplies their radii.
    """
    if label == "healthy":
        return []
    glass = label == "ground-glass"
    count = int(rng.integers(9, 15) if glass else rng.integers(7, 12))
    first = rng.choice([-1.0, 1.0])
    lesions = []
    for index in range(count):
        other = index % 2 == 1 if glass else rng.random() < 0.25
        side = -first if other else first
        angle = np.radians(rng.uniform(75.0, 148.0) if glass else rng.uniform(60.0, 145.0))
        radius = 0.5 * (LESION_MM[0] + (LESION_MM[1] - LESION_MM[0]) * rng.beta(3.0, 1.3))
        height = -50.0 + 90.0 * rng.beta(1.4, 2.0)
        inwards = radius * rng.uniform(0.4, 0.9) + (0.0 if glass else rng.uniform(0.0, 15.0))
        lesions.append(
            Lesion(
                centre=_centre(patient, side * angle, height, inwards),
                radius=radius * growth,
                stretch=_uniform(rng, 0.8, 1.2, (3,)),
                waves=_unit(_normal(rng, (3, 3))) * _uniform(rng, 0.1, 0.28, (3, 1)),
                phases=_uniform(rng, 0.0, 2.0 * np.pi, (3,)),
                solid=not glass,
            )
        )
    return lesions


def lesion_shares(lesions: list[Lesion], grid: Grid) -> tuple[F32, F32]:
    """Shares of each voxel, 0–1, that are ground glass and solid: each (Z, H, W)."""
    glass, solid = np.zeros(grid.shape, np.float32), np.zeros(grid.shape, np.float32)
    for lesion in lesions:
        centre = grid.to_image(lesion.centre[None])[0]
        reach = np.float32(1.8 * lesion.radius + grid.pixel)
        where = grid.box(centre - reach, centre + reach)
        z = (grid.axes[0][where[0]] - centre[2])[:, None, None]
        y = (grid.axes[1][where[1]] - centre[1])[None, :, None]
        x = (grid.axes[2][where[2]] - centre[0])[None, None, :]
        kx, ky, kz = lesion.stretch
        edge = np.sqrt((x / kx) ** 2 + (y / ky) ** 2 + (z / kz) ** 2) - np.float32(lesion.radius)
        for wave, phase in zip(lesion.waves, lesion.phases, strict=True):
            ripple = np.sin(x * wave[0] + y * wave[1] + z * wave[2] + phase)
            edge += np.float32(0.17 * lesion.radius) * ripple
        patch = _soft(edge, 5.0 + grid.pixel)
        np.maximum(glass[where], patch, out=glass[where])
        if lesion.solid:
            core = _soft(edge + np.float32(0.4 * lesion.radius), 3.0 + grid.pixel)
            np.maximum(solid[where], core, out=solid[where])
    return glass, solid


def _centre(patient: Patient, angle: float, height: float, inwards: float) -> F32:
    """A lesion's centre (x, y, z): `inwards` mm from the pleura at an angle and a height."""
    scale = float(taper(vector(height))[0])
    out = float(wall_radius(patient, vector(angle))[0]) * scale - PLEURA_MM - inwards
    return vector(out * np.sin(angle), -out * np.cos(angle), height)


def _soft(distance: F32, width: float) -> F32:
    """A smooth step from 1 (inside) to 0 over `width` mm."""
    share = np.clip(np.float32(0.5) - distance / np.float32(width), 0.0, 1.0)
    smooth: F32 = share * share * (3.0 - 2.0 * share)
    return smooth


def _uniform(rng: np.random.Generator, low: float, high: float, shape: tuple[int, ...]) -> F32:
    return rng.uniform(low, high, shape).astype(np.float32)


def _normal(rng: np.random.Generator, shape: tuple[int, ...]) -> F32:
    return rng.standard_normal(shape, dtype=np.float32)


def _unit(vectors: F32) -> F32:
    unit: F32 = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return unit
