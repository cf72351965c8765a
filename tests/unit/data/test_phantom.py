"""The chest phantom: anatomy, disease, scanners and the sites that it writes."""

import csv
import hashlib
from collections import Counter, defaultdict
from pathlib import Path

import nibabel
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import ndimage

from ucadi_flwr.data.phantom.geometry import Tubes, make_grid, tube_share
from ucadi_flwr.data.phantom.lung import LESION_MM, draw_lesions
from ucadi_flwr.data.phantom.patient import diaphragm, draw_patient, taper, wall_radius
from ucadi_flwr.data.phantom.scanner import KERNELS, Kernel, Scanner, acquire, site_scanner
from ucadi_flwr.data.phantom.site import MIN_CASES, plan_site, write_phantom, write_site
from ucadi_flwr.data.phantom.volume import LABELS, SHAPE, Label, volume
from ucadi_flwr.errors import DataError

CLEAN = Scanner(5.0, "standard", 0.0, 0.0, contrast_agent=False)
SMALL = (16, 48, 48)
DISEASES: tuple[Label, ...] = ("ground-glass", "consolidation")


def digest(array: NDArray[np.int16]) -> str:
    return hashlib.sha256(array.tobytes()).hexdigest()


def lungs(hu: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Air that does not reach the edge of its slice, with holes (vessels) filled."""
    air = hu < -450
    parts, _ = ndimage.label(air)
    rim = np.concatenate([parts[:, [0, -1]].ravel(), parts[:, :, [0, -1]].ravel()])
    inner = air & ~np.isin(parts, np.unique(rim))
    return np.stack([ndimage.binary_fill_holes(plane) for plane in inner])


# --- one volume -----------------------------------------------------------------------------


def test_the_same_numbers_give_the_same_volume() -> None:
    first, spacing = volume("ground-glass", site_scanner(3), seed=1, site=3, patient=4)
    again, same = volume("ground-glass", site_scanner(3), seed=1, site=3, patient=4)
    assert digest(first) == digest(again)
    assert spacing == same
    assert first.shape == SHAPE
    assert first.dtype == np.int16


def test_no_global_random_state_is_used() -> None:
    np.random.seed(0)  # noqa: NPY002  (the global state is what must not matter)
    first, _ = volume("healthy", CLEAN, seed=1, shape=SMALL)
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    again, _ = volume("healthy", CLEAN, seed=1, shape=SMALL)
    assert digest(first) == digest(again)
    assert np.array_equal(state, np.random.get_state()[1])  # noqa: NPY002


def test_seed_site_patient_scan_and_class_each_matter() -> None:
    base = {"seed": 1, "site": 1, "patient": 1, "scan": 0}
    volumes = [volume("healthy", CLEAN, **base, shape=SMALL)[0]]
    volumes += [volume("healthy", CLEAN, **(base | {k: 7}), shape=SMALL)[0] for k in base]
    volumes += [volume(label, CLEAN, **base, shape=SMALL)[0] for label in DISEASES]
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
def test_any_case_is_a_chest_of_the_right_shape(
    label: Label, seed: int, site: int, patient: int, scan: int, depth: int, side: int
) -> None:
    hu, spacing = volume(
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
    _, coarse = volume("healthy", CLEAN, seed=2, shape=(16, 32, 64))
    _, fine = volume("healthy", CLEAN, seed=2, shape=(40, 64, 64))
    assert coarse[0] * 16 == pytest.approx(fine[0] * 40)
    assert coarse[1] == pytest.approx(2 * fine[1])
    assert coarse[2] == pytest.approx(fine[2])
    assert 280 < fine[2] * 64 < 420  # mm, an adult across


@pytest.mark.parametrize("patient", range(4))
def test_tissues_have_their_density(patient: int) -> None:
    hu, _ = volume("healthy", CLEAN, seed=5, patient=patient)
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
    hu, _ = volume("healthy", CLEAN, seed=6)
    _, high, wide = SHAPE
    centre = hu[8, :, wide // 2 - 6 : wide // 2 + 6]
    assert (centre[high // 2 :] > 150).sum() > (centre[: high // 2] > 150).sum()
    soft = (hu[4] > 0) & ndimage.binary_erosion(
        ndimage.binary_fill_holes(hu[4] > -500), iterations=14
    )
    assert soft[: high // 2, wide // 2 :].sum() > 1.5 * soft[: high // 2, : wide // 2].sum()
    assert lungs(hu)[:3].sum() < lungs(hu)[7:10].sum()


def test_patients_overlap_in_density_between_classes() -> None:
    """A mean of the lung cannot tell the classes apart, because patients breathe differently."""
    means = {
        label: [
            hu[lungs(hu)].mean()
            for patient in range(8)
            for hu, _ in [volume(label, CLEAN, seed=7, patient=offset + patient, shape=SMALL)]
        ]
        for label, offset in (("healthy", 0), ("ground-glass", 100))
    }
    shift = abs(np.mean(means["healthy"]) - np.mean(means["ground-glass"]))
    assert np.std(means["healthy"]) > 20
    assert shift < 1.5 * np.std(means["healthy"])


def test_impossible_requests_are_refused() -> None:
    with pytest.raises(ValueError, match="healthy, ground-glass, consolidation"):
        volume("covid", CLEAN, seed=0)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least 8"):
        volume("healthy", CLEAN, seed=0, shape=(4, 64, 64))


# --- disease --------------------------------------------------------------------------------


@pytest.mark.parametrize("label", DISEASES)
@pytest.mark.parametrize("patient", range(3))
def test_disease_differs_from_its_healthy_twin_in_the_lung_alone(
    label: Label, patient: int
) -> None:
    healthy, spacing = volume("healthy", CLEAN, seed=8, patient=patient)
    ill, _ = volume(label, CLEAN, seed=8, patient=patient)
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
    for label, fewest in (("ground-glass", 9), ("consolidation", 7)):
        lesions = draw_lesions(label, patient, np.random.default_rng(1), 1.0)
        grown = draw_lesions(label, patient, np.random.default_rng(1), 1.2)
        assert len(lesions) >= fewest
        assert all(LESION_MM[0] <= 2 * lesion.radius <= LESION_MM[1] for lesion in lesions)
        for before, after in zip(lesions, grown, strict=True):
            assert after.radius == pytest.approx(1.2 * before.radius)
            assert np.array_equal(after.centre, before.centre)
    assert draw_lesions("healthy", patient, np.random.default_rng(1), 1.0) == []


def test_a_second_scan_shows_the_same_patient_anew() -> None:
    first, spacing = volume("healthy", CLEAN, seed=9, patient=1)
    second, same = volume("healthy", CLEAN, seed=9, patient=1, scan=1)
    other, _ = volume("healthy", CLEAN, seed=9, patient=2)
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
                    volume(label, CLEAN, seed=9, patient=patient, scan=scan, shape=SMALL)[0]
                    for label in ("ground-glass", "healthy")
                ]
            ]
        ]
        ratios.append(load[1] / load[0])
    assert max(abs(ratio - 1) for ratio in ratios) > 0.1
    assert all(0.4 < ratio < 2.2 for ratio in ratios)  # at most 0.8³ and 1.25³ of each patch


@pytest.mark.parametrize("label", DISEASES)
def test_lesions_lie_above_the_diaphragm_and_inside_the_ribs(label: Label) -> None:
    for seed in range(20):
        rng = np.random.default_rng(seed)
        patient = draw_patient(rng)
        for lesion in draw_lesions(label, patient, rng, 1.0):
            x, y, z = lesion.centre[:, None]
            assert z > diaphragm(patient, x, y)
            assert np.hypot(x, y) < wall_radius(patient, np.arctan2(x, -y)) * taper(z)


# --- scanners -------------------------------------------------------------------------------


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("pixel", [2.5, 7.5])
def test_noise_has_the_stated_sd_with_every_kernel(kernel: Kernel, pixel: float) -> None:
    flat = np.zeros((9, 96, 96), np.float32)
    scanner = Scanner(5.0, kernel, 25.0, 0.0, contrast_agent=False)
    hu = acquire(flat, 1, (10.0, pixel, pixel), scanner, np.random.default_rng(0))
    assert hu.std() == pytest.approx(25.0, rel=0.03)
    assert abs(hu.mean()) < 1.0


def test_noise_in_the_heart_of_a_volume() -> None:
    quiet, _ = volume("healthy", CLEAN, seed=10)
    noisy, _ = volume("healthy", Scanner(5.0, "standard", 30.0, 0.0, contrast_agent=False), seed=10)
    heart = np.s_[5:7, 50:60, 66:78]
    assert quiet[heart].std() < 5
    assert noisy[heart].std() == pytest.approx(30.0, rel=0.15)


def test_offset_moves_every_voxel() -> None:
    plain, _ = volume("healthy", CLEAN, seed=11, shape=SMALL)
    moved, _ = volume(
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
        hu, _ = volume("healthy", scanner, seed=12)
        steepness[kernel] = np.abs(np.diff(hu.astype(float), axis=2)).max(axis=2).mean()
    assert steepness["soft"] < 0.9 * steepness["standard"] < 0.9 * steepness["sharp"]


def test_contrast_agent_brightens_blood_alone() -> None:
    plain, _ = volume("healthy", CLEAN, seed=13)
    agent, _ = volume("healthy", Scanner(5.0, "standard", 0.0, 0.0, contrast_agent=True), seed=13)
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


# --- geometry -------------------------------------------------------------------------------


@pytest.mark.parametrize("radius", [1.5, 4.0, 12.0])
def test_tubes_hold_the_volume_of_tubes(radius: float) -> None:
    """Against the closed form: a cylinder and two half balls, turned and moved with the patient."""
    grid = make_grid(np.arange(-60, 60, 3.0, np.float32), (3.0, 3.0), (64, 64), 0.3, (5.0, -8.0))
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


# --- sites ----------------------------------------------------------------------------------


def test_a_site_can_be_read_back(tmp_path: Path) -> None:
    done: list[int] = []
    write_site(tmp_path / "a" / "x", 2, 9, 3, SMALL, lambda: done.append(1))
    folder = tmp_path / "a" / "x"
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["name", "label", "patient"]
    assert len(rows) == len(done) == 9
    assert {row["label"] for row in rows} == set(LABELS)
    assert sorted(path.name for path in (folder / "images").iterdir()) == sorted(
        f"{row['name']}.nii.gz" for row in rows
    )
    assert [path.name for path in folder.parent.iterdir()] == ["x"]
    case = next(case for case in plan_site(2, 9, 3) if case.scan == 1)  # a second scan
    row = next(row for row in rows if row["name"] == case.name)
    assert row["label"] == case.label
    assert sum(other["patient"] == row["patient"] for other in rows) == 2
    hu, spacing = volume(
        case.label,
        site_scanner(2),
        seed=3,
        site=2,
        patient=case.patient,
        scan=case.scan,
        shape=SMALL,
    )
    image = nibabel.load(folder / "images" / f"{case.name}.nii.gz")
    stored = np.asanyarray(image.dataobj)
    assert stored.dtype == np.int16
    assert np.array_equal(stored.transpose(2, 1, 0), hu)
    assert image.header.get_zooms() == pytest.approx(spacing[::-1])
    assert nibabel.aff2axcodes(image.affine) == ("L", "P", "S")
    centre = image.affine @ [*((np.array(stored.shape) - 1) / 2), 1.0]
    assert centre[:3] == pytest.approx([0, 0, 0], abs=1e-4)


def test_the_same_seed_writes_the_same_bytes(tmp_path: Path) -> None:
    trees = []
    for name in ("one", "two"):
        write_site(tmp_path / name, 1, MIN_CASES, 4, (8, 24, 24))
        trees.append(
            {
                path.name: path.read_bytes()
                for path in (tmp_path / name).rglob("*")
                if path.is_file()
            }
        )
    assert trees[0] == trees[1]


@settings(max_examples=100, deadline=None)
@given(site=st.integers(0, 200), cases=st.integers(MIN_CASES, 200), seed=st.integers(0, 2**40))
def test_every_site_has_every_class_and_consistent_patients(
    site: int, cases: int, seed: int
) -> None:
    plan = plan_site(site, cases, seed)
    assert len(plan) == cases == len({case.name for case in plan})
    assert {case.label for case in plan} == set(LABELS)
    labels = defaultdict(set)
    for case in plan:
        labels[case.patient].add(case.label)
    assert all(len(found) == 1 for found in labels.values())
    twice = [p for p, n in Counter(case.patient for case in plan).items() if n == 2]
    assert len(twice) == cases // 8 == cases - len(labels)


def test_the_mix_of_classes_differs_by_site() -> None:
    shares = [
        Counter(case.label for case in plan_site(site, 100, 0))["healthy"] for site in range(8)
    ]
    assert max(shares) - min(shares) >= 5
    assert all(30 <= share <= 70 for share in shares)


def test_sites_are_named_in_order_and_differ(tmp_path: Path) -> None:
    folders = write_phantom(tmp_path, 2, MIN_CASES, 5, (8, 24, 24))
    assert [folder.name for folder in folders] == ["site-1", "site-2"]
    patients = [(folder / "manifest.csv").read_text(encoding="utf-8") for folder in folders]
    assert "site1-p000" in patients[0]
    assert "site2-p000" in patients[1]


def test_too_few_cases_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least 6 cases, not 5"):
        write_site(tmp_path / "x", 1, 5, 0, SMALL)
    assert not list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "site-2").mkdir()
    with pytest.raises(DataError, match="site-2 exists already"):
        write_phantom(tmp_path, 2, MIN_CASES, 0, SMALL)
    with pytest.raises(DataError, match="site-2 exists already"):
        write_site(tmp_path / "site-2", 2, MIN_CASES, 0, SMALL)
    assert [path.name for path in tmp_path.iterdir()] == ["site-2"]


def test_a_run_that_is_cut_short_leaves_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    def stop() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_site(tmp_path / "x", 1, MIN_CASES, 0, (8, 24, 24), stop)
    assert not list(tmp_path.iterdir())
    (tmp_path / ".x.partial" / "images").mkdir(parents=True)  # as a killed process leaves it
    (tmp_path / ".x.partial" / "images" / "old.nii.gz").touch()
    write_site(tmp_path / "x", 1, MIN_CASES, 0, (8, 24, 24))
    assert [path.name for path in tmp_path.iterdir()] == ["x"]
    assert len(list((tmp_path / "x" / "images").iterdir())) == MIN_CASES
