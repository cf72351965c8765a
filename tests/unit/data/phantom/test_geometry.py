"""Tubes on the voxel grid, compared with closed forms."""

import numpy as np
import pytest

from ucadi_flwr.data.phantom.geometry import Tubes, make_grid, tube_share


@pytest.mark.parametrize("radius", [1.5, 4.0, 12.0])
def test_tubes_hold_the_volume_of_tubes(radius: float) -> None:
    """Against the closed form: a cylinder and two half balls, turned and moved with the patient."""
    grid = make_grid(
        np.arange(-60, 60, 3.0, dtype=np.float32), (3.0, 3.0), (64, 64), 0.3, (5.0, -8.0)
    )
    tubes = Tubes.of((-20.0, -10.0, -25.0, 25.0, 15.0, 20.0, radius))
    length = float(np.linalg.norm(tubes.end - tubes.start))
    expected = np.pi * radius**2 * length + 4 / 3 * np.pi * radius**3
    measured = float(tube_share(grid, tubes).sum()) * 27.0
    assert measured == pytest.approx(expected, rel=0.06)


def test_the_grid_and_its_points_agree_on_where_the_patient_lies() -> None:
    grid = make_grid(np.zeros(1, np.float32), (2.0, 2.5), (50, 40), 0.4, (6.0, -9.0))
    share = tube_share(grid, Tubes.of((15.0, 10.0, 0.0, 15.0, 10.0, 0.0, 4.0)))
    assert np.average(grid.x, weights=share) == pytest.approx(15.0, abs=0.3)
    assert np.average(grid.y, weights=share) == pytest.approx(10.0, abs=0.3)


def test_a_tube_outside_the_grid_fills_nothing() -> None:
    grid = make_grid(np.arange(4, dtype=np.float32), (1.0, 1.0), (8, 8), 0.0, (0.0, 0.0))
    assert not tube_share(grid, Tubes.of((90.0, 0.0, 0.0, 95.0, 0.0, 0.0, 2.0))).any()
