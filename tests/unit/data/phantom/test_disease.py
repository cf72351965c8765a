"""The phantom's diseases, and how they change between scans."""

import numpy as np
import pytest
from helpers.phantoms import CLEAN, DISEASES, SMALL, digest, lungs
from scipy import ndimage

from ucadi_flwr.data.phantom.lung import LESION_MM, draw_lesions
from ucadi_flwr.data.phantom.patient import diaphragm, draw_patient, taper, wall_radius
from ucadi_flwr.data.phantom.volume import PhantomLabel, make_volume


@pytest.mark.parametrize("label", DISEASES)
@pytest.mark.parametrize("patient", range(3))
def test_disease_differs_from_its_healthy_counterpart_only_in_the_lung(
    label: PhantomLabel, patient: int
) -> None:
    healthy, spacing = make_volume("healthy", CLEAN, seed=8, patient=patient)
    ill, _ = make_volume(label, CLEAN, seed=8, patient=patient)
    change = ill.astype(int) - healthy
    lesion = change > 100
    near_lung = ndimage.binary_dilation(lungs(healthy), iterations=2)
    assert lesion.sum() * np.prod(spacing) / 1e3 > 60  # mL
    assert not (change != 0)[~near_lung].any()
    solid = (healthy < -500) & (ill > -50)
    assert solid.any() == (label == "consolidation")
    if label == "ground-glass":
        sides = lesion.sum(axis=(0, 1))
        half = len(sides) // 2
        assert min(sides[:half].sum(), sides[half:].sum()) > 20  # both lungs


def test_lesions_have_the_size_that_is_stated_and_grow() -> None:
    patient = draw_patient(np.random.default_rng(0))
    fewest: dict[PhantomLabel, int] = {"ground-glass": 9, "consolidation": 7}
    for label in fewest:
        lesions = draw_lesions(label, patient, np.random.default_rng(1), 1.0)
        grown = draw_lesions(label, patient, np.random.default_rng(1), 1.2)
        assert len(lesions) >= fewest[label]
        assert all(LESION_MM[0] <= 2 * lesion.radius <= LESION_MM[1] for lesion in lesions)
        for before, after in zip(lesions, grown, strict=True):
            assert after.radius == pytest.approx(1.2 * before.radius)
            assert np.array_equal(after.centre, before.centre)
    assert draw_lesions("healthy", patient, np.random.default_rng(1), 1.0) == []


def test_a_second_scan_shows_the_same_patient() -> None:
    first, spacing = make_volume("healthy", CLEAN, seed=9, patient=1)
    second, same = make_volume("healthy", CLEAN, seed=9, patient=1, scan=1)
    other, _ = make_volume("healthy", CLEAN, seed=9, patient=2)
    assert spacing == same
    volumes = [int(lungs(hu).sum()) for hu in (first, second, other)]
    assert volumes[1] == pytest.approx(volumes[0], rel=0.03)
    assert abs(volumes[2] / volumes[0] - 1) > 0.03
    assert digest(first) != digest(second)


def test_lesions_change_between_scans() -> None:
    ratios = []
    for patient in range(4):
        load = [
            float(np.sum(ill.astype(float) - healthy))
            for scan in (0, 1)
            for ill, healthy in [
                [
                    make_volume(label, CLEAN, seed=9, patient=patient, scan=scan, shape=SMALL)[0]
                    for label in ("ground-glass", "healthy")
                ]
            ]
        ]
        ratios.append(load[1] / load[0])
    assert max(abs(ratio - 1) for ratio in ratios) > 0.1
    assert all(0.4 < ratio < 2.2 for ratio in ratios)  # at most 0.8³ and 1.25³ of each patch


@pytest.mark.parametrize("label", DISEASES)
def test_lesions_lie_above_the_diaphragm_and_inside_the_ribs(label: PhantomLabel) -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        patient = draw_patient(rng)
        for lesion in draw_lesions(label, patient, rng, 1.0):
            x, y, z = lesion.centre[:, None]
            assert z > diaphragm(patient, x, y)
            assert np.hypot(x, y) < wall_radius(patient, np.arctan2(x, -y)) * taper(z)
