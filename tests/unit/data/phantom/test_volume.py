"""One phantom: random numbers, size, anatomy."""

import numpy as np
import pytest
from helpers.phantoms import CLEAN, DISEASES, SMALL, digest, lungs
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from ucadi_flwr.data.phantom.scanner import site_scanner
from ucadi_flwr.data.phantom.volume import LABELS, SHAPE, PhantomLabel, make_volume


def test_the_same_numbers_give_the_same_volume() -> None:
    first, spacing = make_volume("ground-glass", site_scanner(3), seed=1, site=3, patient=4)
    again, same = make_volume("ground-glass", site_scanner(3), seed=1, site=3, patient=4)
    assert digest(first) == digest(again)
    assert spacing == same
    assert first.shape == SHAPE
    assert first.dtype == np.int16


def test_no_global_random_state_is_used() -> None:
    np.random.seed(0)  # noqa: NPY002  (the global state is what must not matter)
    first, _ = make_volume("healthy", CLEAN, seed=1, shape=SMALL)
    state = np.random.get_state(legacy=False)["state"]["key"].copy()  # noqa: NPY002
    again, _ = make_volume("healthy", CLEAN, seed=1, shape=SMALL)
    assert digest(first) == digest(again)
    later = np.random.get_state(legacy=False)["state"]["key"]  # noqa: NPY002
    assert np.array_equal(state, later)


def test_seed_site_patient_scan_and_class_each_matter() -> None:
    base = {"seed": 1, "site": 1, "patient": 1, "scan": 0}
    volumes = [make_volume("healthy", CLEAN, **base, shape=SMALL)[0]]
    volumes += [make_volume("healthy", CLEAN, **(base | {k: 7}), shape=SMALL)[0] for k in base]
    volumes += [make_volume(label, CLEAN, **base, shape=SMALL)[0] for label in DISEASES]
    assert len({digest(hu) for hu in volumes}) == len(volumes)


@settings(max_examples=25, deadline=None)
@given(
    label=st.sampled_from(LABELS),
    seed=st.integers(0, 2**63),
    site=st.integers(0, 500),
    patient=st.integers(0, 10_000),
    scan=st.integers(0, 3),
    depth=st.sampled_from((8, 16, 40)),
    side=st.sampled_from((24, 32, 45)),
)
def test_every_case_is_a_chest_of_the_right_shape(
    label: PhantomLabel, seed: int, site: int, patient: int, scan: int, depth: int, side: int
) -> None:
    hu, spacing = make_volume(
        label,
        site_scanner(site),
        seed=seed,
        site=site,
        patient=patient,
        scan=scan,
        shape=(depth, side, side),
    )
    assert hu.shape == (depth, side, side)
    assert hu.dtype == np.int16
    assert hu.min() >= -1024
    assert 100 < hu.max() < 1500
    assert all(np.isfinite(s) and s > 0 for s in spacing)
    litres = lungs(hu).sum() * np.prod(spacing) / 1e6
    assert 2.0 < litres < 8.0


def test_spacing_covers_the_same_chest_at_any_size() -> None:
    _, coarse = make_volume("healthy", CLEAN, seed=2, shape=(16, 32, 64))
    _, fine = make_volume("healthy", CLEAN, seed=2, shape=(40, 64, 64))
    assert coarse[0] * 16 == pytest.approx(fine[0] * 40)
    assert coarse[1] == pytest.approx(2 * fine[1])
    assert coarse[2] == pytest.approx(fine[2])
    assert 280 < fine[2] * 64 < 420  # mm, an adult across


@pytest.mark.parametrize("patient", range(4))
def test_tissues_have_their_density(patient: int) -> None:
    hu, _ = make_volume("healthy", CLEAN, seed=5, patient=patient)
    lung = ndimage.binary_erosion(lungs(hu), np.ones((1, 3, 3)), iterations=2)
    assert -900 < hu[lung].mean() < -600
    assert (hu > 200).sum() > 2000  # ribs, spine, sternum
    body = ndimage.binary_fill_holes(hu[8] > -500)
    middle = body.any(axis=0).nonzero()[0]
    row = int(np.mean(body.any(axis=1).nonzero()[0]))
    skin = hu[8, row, middle[0] + 1 : middle[0] + 3]  # under the skin, at the patient's right
    assert skin.mean() == pytest.approx(-100, abs=25)
    assert hu[8, 0, 0] == -1000
    soft = hu[8][(hu[8] > 0) & (hu[8] < 100)]
    assert 30 < np.median(soft) < 60


def test_the_patient_lies_as_the_frame_says() -> None:
    """Spine at the back, heart and stomach's gas on the left, liver at the feet's end."""
    hu, _ = make_volume("healthy", CLEAN, seed=6)
    _, high, wide = SHAPE
    centre = hu[8, :, wide // 2 - 6 : wide // 2 + 6]
    assert (centre[high // 2 :] > 150).sum() > (centre[: high // 2] > 150).sum()
    soft = (hu[4] > 0) & ndimage.binary_erosion(
        ndimage.binary_fill_holes(hu[4] > -500), iterations=14
    )
    assert soft[: high // 2, wide // 2 :].sum() > 1.5 * soft[: high // 2, : wide // 2].sum()
    assert lungs(hu)[:3].sum() < lungs(hu)[7:10].sum()


def test_patients_overlap_in_density_between_classes() -> None:
    """The lung's mean HU does not separate the classes, because patients breathe differently."""

    def means(label: PhantomLabel, first_patient: int) -> list[float]:
        patients = range(first_patient, first_patient + 8)
        volumes = [make_volume(label, CLEAN, seed=7, patient=p, shape=SMALL)[0] for p in patients]
        return [float(hu[lungs(hu)].mean()) for hu in volumes]

    healthy, ill = means("healthy", 0), means("ground-glass", 100)
    assert np.std(healthy) > 20
    assert abs(np.mean(healthy) - np.mean(ill)) < 1.5 * np.std(healthy)


def test_impossible_requests_are_refused() -> None:
    with pytest.raises(ValueError, match="healthy, ground-glass, consolidation"):
        make_volume("covid", CLEAN, seed=0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 8"):
        make_volume("healthy", CLEAN, seed=0, shape=(4, 64, 64))
