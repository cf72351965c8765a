"""The simulated scanner: noise, offset, slice profile, kernels, contrast agent."""

from collections import Counter

import numpy as np
import pytest
from helpers.phantoms import CLEAN, SMALL

from ucadi_flwr.data.phantom.scanner import KERNELS, Kernel, Scanner, acquire, site_scanner
from ucadi_flwr.data.phantom.volume import make_volume


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("pixel", [2.5, 7.5])
def test_noise_has_the_stated_sd_with_every_kernel(kernel: Kernel, pixel: float) -> None:
    flat = np.zeros((9, 96, 96), np.float32)
    scanner = Scanner(5.0, kernel, 25.0, 0.0, contrast_agent=False)
    hu = acquire(flat, 1, (10.0, pixel, pixel), scanner, np.random.default_rng(0))
    assert hu.std() == pytest.approx(25.0, rel=0.03)
    assert abs(hu.mean()) < 1.0


def test_noise_in_the_heart_of_a_volume() -> None:
    quiet, _ = make_volume("healthy", CLEAN, seed=10)
    noisy, _ = make_volume(
        "healthy", Scanner(5.0, "standard", 30.0, 0.0, contrast_agent=False), seed=10
    )
    heart = np.s_[5:7, 50:60, 66:78]
    assert quiet[heart].std() < 5
    assert noisy[heart].std() == pytest.approx(30.0, rel=0.15)


def test_offset_moves_every_voxel() -> None:
    plain, _ = make_volume("healthy", CLEAN, seed=11, shape=SMALL)
    moved, _ = make_volume(
        "healthy", Scanner(5.0, "standard", 0.0, 12.0, contrast_agent=False), seed=11, shape=SMALL
    )
    assert np.abs(moved.astype(int) - plain - 12).max() <= 1


def test_thicker_slices_blur_along_z_and_nowhere_else() -> None:
    step = np.full((33, 8, 8), -800.0, np.float32)
    step[16:] = 0.0
    step[:, :, 4:] += 100.0
    widths = []
    for thickness in (3.0, 6.0, 12.0):
        scanner = Scanner(thickness, "standard", 0.0, 0.0, contrast_agent=False)
        hu = acquire(step, 2, (6.0, 3.0, 3.0), scanner, np.random.default_rng(0))
        assert np.all(hu[:, :, 4:] - hu[:, :, :4] == 100)
        widths.append(int(((hu[:, 0, 0] > -780) & (hu[:, 0, 0] < -20)).sum()))
    assert widths == sorted(widths)
    assert widths[0] < widths[-1]


def test_kernels_blur_and_sharpen_edges() -> None:
    steepness = {}
    for kernel in KERNELS:
        scanner = Scanner(5.0, kernel, 0.0, 0.0, contrast_agent=False)
        hu, _ = make_volume("healthy", scanner, seed=12)
        steepness[kernel] = np.abs(np.diff(hu.astype(float), axis=2)).max(axis=2).mean()
    assert steepness["soft"] < 0.9 * steepness["standard"] < 0.9 * steepness["sharp"]


def test_contrast_agent_brightens_blood_alone() -> None:
    plain, _ = make_volume("healthy", CLEAN, seed=13)
    agent, _ = make_volume(
        "healthy", Scanner(5.0, "standard", 0.0, 0.0, contrast_agent=True), seed=13
    )
    change = agent.astype(int) - plain
    assert change.max() == pytest.approx(165, abs=2)
    assert (change > 100).sum() > 2000
    assert change.min() >= 0
    assert change[(plain < -90) & (plain > -110)].mean() < 5  # fat


def test_every_site_has_its_own_scanner() -> None:
    scanners = [site_scanner(site) for site in range(300)]
    assert len(set(scanners)) == 300
    assert scanners[7] == site_scanner(7)
    assert {s.kernel for s in scanners} == set(KERNELS)
    assert all(4 <= s.thickness_mm <= 12 and 8 <= s.noise_hu <= 28 for s in scanners)
    assert all(abs(s.offset_hu) <= 15 for s in scanners)
    assert Counter(s.contrast_agent for s in scanners) == {True: 150, False: 150}
    assert np.mean([s.noise_hu for s in scanners]) == pytest.approx(18.0, abs=0.5)
    with pytest.raises(ValueError, match="at least 0"):
        site_scanner(-1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"thickness_mm": 0.0}, "thickness_mm"),
        ({"thickness_mm": float("nan")}, "thickness_mm"),
        ({"noise_hu": -1.0}, "noise_hu"),
        ({"kernel": "bone"}, "soft, standard, sharp"),
    ],
)
def test_impossible_scanners_are_refused(change: dict[str, object], message: str) -> None:
    values: dict[str, object] = {
        "thickness_mm": 5.0,
        "kernel": "soft",
        "noise_hu": 1.0,
        "offset_hu": 0.0,
        "contrast_agent": False,
    }
    with pytest.raises(ValueError, match=message):
        Scanner(**(values | change))  # type: ignore[arg-type]
