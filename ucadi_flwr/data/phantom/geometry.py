"""Shapes on a voxel grid: the grid in millimetres, soft edges, and tubes with round ends.

A patient's frame, mm: x towards the patient's left, y towards the back, z towards the head; the
origin is mid-chest. In arrays (Z, H, W) each index increases along its axis.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]


@dataclass(frozen=True)
class Grid:
    """Voxel centres, mm, of a patient who lies rotated and shifted in the image.

    Attributes:
        axes: z (Z,), y (H,) and x (W,) of the image.
        x: (1, H, W), in the patient's frame.
        y: (1, H, W), in the patient's frame.
        pixel: the larger in-plane spacing, mm; edges are softened over it (partial volume).
        turn: rotation of the patient, radians.
        shift: (x, y) of the patient's centre in the image, mm.
    """

    axes: tuple[F32, F32, F32]
    x: F32
    y: F32
    pixel: float
    turn: float
    shift: tuple[float, float]

    @property
    def z(self) -> F32:
        """Heights (Z, 1, 1), mm."""
        return self.axes[0][:, None, None]

    @property
    def shape(self) -> tuple[int, int, int]:
        """(Z, H, W)."""
        z, y, x = self.axes
        return len(z), len(y), len(x)

    def to_image(self, points: F32) -> F32:
        """Move points (N, 3) as (x, y, z), mm, from the patient's frame to the image's."""
        cos, sin = np.float32(np.cos(self.turn)), np.float32(np.sin(self.turn))
        x, y, z = points.T
        moved: F32 = np.stack(
            [cos * x - sin * y + self.shift[0], sin * x + cos * y + self.shift[1], z], axis=1
        ).astype(np.float32)
        return moved

    def box(self, low: F32, high: F32) -> tuple[slice, slice, slice]:
        """The voxels (z, y, x) between two corners (x, y, z) in the image's frame."""
        z, y, x = (
            slice(*np.searchsorted(axis, (a, b)).tolist())
            for axis, a, b in zip(self.axes, low[::-1], high[::-1], strict=True)
        )
        return z, y, x


def make_grid(
    heights: F32,
    pixel: tuple[float, float],
    plane: tuple[int, int],
    turn: float,
    shift: tuple[float, float],
) -> Grid:
    """A grid of sub-slices at heights (Z,), mm; pixel (y, x), mm; plane (H, W); turn in radians."""
    y, x = (
        ((np.arange(n) - (n - 1) / 2) * step).astype(np.float32)
        for n, step in zip(plane, pixel, strict=True)
    )
    cos, sin = np.float32(np.cos(turn)), np.float32(np.sin(turn))
    along, across = x[None, None, :] - np.float32(shift[0]), y[None, :, None] - np.float32(shift[1])
    return Grid(
        axes=(heights.astype(np.float32), y, x),
        x=cos * along + sin * across,
        y=cos * across - sin * along,
        pixel=max(pixel),
        turn=turn,
        shift=shift,
    )


def vector(*values: float) -> F32:
    """The numbers as a float32 array (N,)."""
    return np.array(values, np.float32)


def inside(distance: F32, width: float) -> F32:
    """Share of a voxel that is inside, 0–1, from the signed distance (negative inside), mm."""
    share = np.multiply(distance, np.float32(-1.0 / width))
    share += np.float32(0.5)
    return np.clip(share, 0.0, 1.0, out=share)


def paint(hu: F32, share: F32, value: F32 | float) -> None:
    """Mix a tissue of `value` HU into hu by its share of each voxel, in place."""
    change = np.subtract(np.float32(value) if isinstance(value, float) else value, hu)
    change *= share
    hu += change


@dataclass(frozen=True)
class Tubes:
    """Straight tubes with round ends: start and end (N, 3) as (x, y, z), mm; radius (N,), mm."""

    start: F32
    end: F32
    radius: F32

    @classmethod
    def of(cls, *rows: tuple[float, float, float, float, float, float, float]) -> "Tubes":
        """Tubes from rows (start x, y, z, end x, y, z, radius), mm."""
        table = np.array(rows, np.float32)
        return cls(table[:, 0:3], table[:, 3:6], table[:, 6])


def tube_share(grid: Grid, tubes: Tubes) -> F32:
    """Share of each voxel, 0–1, that the tubes fill: (Z, H, W).

    A tube's edge is a ramp one pixel wide, scaled so that the shares of a cross-section add up to
    πr² however thin the tube is (with w a pixel: π(r² + w²/12) for a ramp around r ≥ w/2, and
    π(r + w/2)³/3w for the cone that is left below).
    """
    share = np.zeros(grid.shape, np.float32)
    start, end = grid.to_image(tubes.start), grid.to_image(tubes.end)
    r, w = tubes.radius, np.float32(grid.pixel)
    reach = (r + w / 2)[:, None]
    low, high = np.minimum(start, end) - reach, np.maximum(start, end) + reach
    along = end - start
    squared = np.maximum(np.sum(along**2, axis=1), np.float32(1e-6))
    filling = np.where(r < w / 2, 3.0 * r**2 * w / (r + w / 2) ** 3, r**2 / (r**2 + w**2 / 12.0))
    for i in range(len(start)):
        where = grid.box(low[i], high[i])
        if share[where].size == 0:
            continue
        dx = grid.axes[2][where[2]] - start[i, 0]
        dy = (grid.axes[1][where[1]] - start[i, 1])[:, None]
        dz = (grid.axes[0][where[0]] - start[i, 2])[:, None, None]
        dot = dz * along[i, 2] + (dy * along[i, 1] + dx * along[i, 0])
        away = dz * dz + (dy * dy + dx * dx)
        t = np.clip(dot / squared[i], 0.0, 1.0)
        away -= t * (2.0 * dot - t * squared[i])
        distance = np.sqrt(np.maximum(away, 0.0, out=away), out=away)
        local = np.clip((r[i] - distance) / w + np.float32(0.5), 0.0, 1.0)
        local *= filling[i]
        np.maximum(share[where], local, out=share[where])
    return share


def smooth_field(rng: np.random.Generator, shape: tuple[int, int, int], knots: int) -> F32:
    """A random field (Z, H, W), SD about 0.5, that varies over 1/knots of each axis's length."""
    field = rng.standard_normal((knots, knots, knots), dtype=np.float32)
    for axis, size in enumerate(shape):
        place = np.linspace(0.0, knots - 1.0, size, dtype=np.float32)
        low = np.minimum(place.astype(np.intp), knots - 2)
        part = (place - low).astype(np.float32).reshape([-1 if a == axis else 1 for a in range(3)])
        part = part * part * (3.0 - 2.0 * part)
        field = field.take(low, axis) * (1.0 - part) + field.take(low + 1, axis) * part
    return field
