"""Organs and bones inside the chest wall: heart, great vessels, airways, liver, spine, sternum.

Positions and sizes are those of an adult, in mm (x to the left, y to the back, z to the head).
"""

from typing import Final

import numpy as np

from ucadi_flwr.data.phantom.geometry import F32, Grid, Tubes, inside, paint, tube_share, vector
from ucadi_flwr.data.phantom.patient import RIB_MM, Patient, diaphragm, heart_distance, taper


def paint_below_diaphragm(hu: F32, patient: Patient, grid: Grid, wall: F32, blood: float) -> None:
    """Liver on the right; spleen, and stomach with a bubble of gas, on the left."""
    low = grid.axes[0] < max(patient.dome) + grid.pixel
    z = grid.z[low]
    below = np.maximum(wall[low] + 2.0, z + 3.0 - diaphragm(patient, grid.x, grid.y))
    share = inside(below, grid.pixel)
    organ = np.where(grid.x < 25.0, 58.0, 42.0) + 0.3 * (blood - 45.0)
    part = hu[low]
    paint(part, share, organ.astype(np.float32))
    bubble = ((grid.x - 55.0) / 32.0) ** 2 + ((grid.y + 25.0) / 26.0) ** 2
    gas = np.sqrt(bubble + ((z - patient.dome[1] + 28.0) / 16.0) ** 2) - 1.0
    paint(part, share * inside(gas * 16.0, grid.pixel), -960.0)
    hu[low] = part


def paint_mediastinum(hu: F32, patient: Patient, grid: Grid, blood: float) -> None:
    """Heart muscle, blood in its chambers and the great vessels, oesophagus, lymph nodes."""
    heart = heart_distance(patient, grid, grid.z)
    paint(hu, inside(heart, grid.pixel), 48.0 + 0.4 * (blood - 45.0))
    spine = patient.spine - 22.0
    s = patient.heart
    vessels = Tubes.of(
        (34.0 * s, -42.0 * s, -62.0, 20.0, -30.0, -22.0, 19.0 * s),  # left ventricle
        (2.0, -55.0 * s, -58.0, -6.0, -52.0 * s, -25.0, 15.0 * s),  # right ventricle
        (-24.0 * s, -22.0, -50.0, -26.0 * s, -20.0, -14.0, 18.0 * s),  # right atrium
        (12.0, 8.0, -28.0, -6.0, 8.0, -18.0, 18.0 * s),  # left atrium
        (-4.0, -28.0, -22.0, -17.0, -26.0, 45.0, 15.0),  # ascending aorta
        (-15.0, -22.0, 50.0, 0.0, 0.0, 60.0, 13.5),  # arch
        (0.0, 0.0, 60.0, 21.0, 0.6 * spine, 50.0, 13.0),
        (21.0, 0.6 * spine, 50.0, 24.0, spine, 20.0, 12.5),
        (24.0, spine, 20.0, 20.0, spine + 2.0, -130.0, 12.0),  # descending aorta
        (-32.0, -14.0, 92.0, -30.0, -14.0, -14.0, 9.0),  # superior vena cava
        (-28.0, 2.0, -60.0, -26.0, 0.0, -120.0, 12.0),  # inferior vena cava
        (6.0, -42.0, -20.0, 14.0, -24.0, 18.0, 14.0),  # pulmonary trunk
        (14.0, -24.0, 18.0, 42.0, 8.0, 12.0, 11.0),
        (14.0, -24.0, 18.0, -4.0, -6.0, 12.0, 11.0),
        (-4.0, -6.0, 12.0, -42.0, 6.0, 4.0, 10.0),
        (-10.0, -12.0, 62.0, -16.0, -10.0, 120.0, 6.5),  # branches of the arch
        (8.0, -4.0, 62.0, 12.0, -4.0, 120.0, 4.5),
        (16.0, 8.0, 60.0, 24.0, 10.0, 120.0, 5.0),
    )
    paint(hu, tube_share(grid, vessels), blood)
    oesophagus = (6.0, 32.0, 120.0, 10.0, spine - 8.0, -120.0, 7.0)
    paint(hu, tube_share(grid, Tubes.of(oesophagus, *_NODES)), 32.0)


_NODES: Final = (  # beside the airways
    (-10.0, 14.0, 28.0, 10.0, 14.0, 28.0, 6.0),
    (40.0, 14.0, 4.0, 40.0, 14.0, -6.0, 10.0),
    (-40.0, 14.0, 0.0, -40.0, 14.0, -10.0, 10.0),
)
_AIRWAYS: Final = Tubes.of(
    (0.0, 10.0, 130.0, 0.0, 18.0, 36.0, 8.5),  # trachea
    (0.0, 18.0, 36.0, 34.0, 20.0, 14.0, 6.5),  # left main bronchus
    (0.0, 18.0, 36.0, -28.0, 20.0, 18.0, 7.0),  # right main bronchus
    (-28.0, 20.0, 18.0, -40.0, 22.0, -12.0, 5.0),
    (-28.0, 20.0, 18.0, -52.0, 12.0, 34.0, 4.0),
    (34.0, 20.0, 14.0, 46.0, 26.0, -14.0, 4.5),
    (34.0, 20.0, 14.0, 54.0, 8.0, 26.0, 4.0),
)


def airway_share(grid: Grid) -> F32:
    """Share of each voxel, 0–1, that is air in the trachea and the bronchi: (Z, H, W)."""
    return tube_share(grid, _AIRWAYS)


def paint_bones(hu: F32, patient: Patient, grid: Grid) -> None:
    """Vertebra with its canal and arch, sternum, shoulder blades, collar bones."""
    y0 = patient.spine
    body = np.hypot(grid.x / 1.15, grid.y - y0) - 16.5
    disc = np.abs(np.remainder(grid.axes[0] / 24.0 + patient.ribs, 1.0) - 0.5) > 0.42
    arch = Tubes.of(
        *((s * 13.0, y0 + 13.0, z, s * 16.0, y0 + 32.0, z, 5.0) for s in (-1, 1) for z in _LEVELS),
        *((s * 16.0, y0 + 30.0, z, s * 40.0, y0 + 36.0, z, 5.5) for s in (-1, 1) for z in _LEVELS),
        (0.0, y0 + 30.0, 130.0, 0.0, y0 + 30.0, -130.0, 4.0),
        *((0.0, y0 + 30.0, z, 0.0, y0 + 36.0, z - 8.0, 4.0) for z in _LEVELS),
    )
    cancellous = np.where(disc, np.float32(95.0), np.float32(patient.bone))[:, None, None]
    shell = inside(body, grid.pixel)
    paint(hu, shell, 420.0)
    paint(hu, inside(body + 2.5, grid.pixel), cancellous)
    paint(hu, tube_share(grid, arch), 430.0)
    paint(hu, inside(np.hypot(grid.x, grid.y - y0 - 24.0) - 8.0, grid.pixel), 25.0)
    front = -patient.depth - 4.0
    scale = float(taper(vector(80.0))[0])
    outer = 0.93 * max(patient.width) * 0.9 + RIB_MM
    others = Tubes.of(
        (-7.0, front, -60.0, -7.0, front, 40.0, 6.0),
        (7.0, front, -60.0, 7.0, front, 40.0, 6.0),
        (-9.0, front, 40.0, -12.0, scale * front, 90.0, 7.0),
        (9.0, front, 40.0, 12.0, scale * front, 90.0, 7.0),
        *(
            (s * 0.55 * outer, y0 + 6.0, z, s * 0.96 * outer, 0.3 * y0, z, 4.0)
            for s in (-1, 1)
            for z in (35.0, 45.0, 55.0, 65.0, 75.0, 85.0, 95.0, 105.0)
        ),
        *((s * 14.0, scale * front, 94.0, s * outer, 0.2 * front, 112.0, 6.0) for s in (-1, 1)),
    )
    paint(hu, tube_share(grid, others), 380.0)


_LEVELS: Final = tuple(24.0 * k - 120.0 for k in range(11))  # heights of the vertebral arches, mm
