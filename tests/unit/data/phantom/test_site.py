"""Phantom sites on disk."""

import csv
from collections import Counter, defaultdict
from pathlib import Path

import nibabel
import numpy as np
import pytest
from helpers.phantoms import SMALL
from hypothesis import given, settings
from hypothesis import strategies as st

from ucadi_flwr.data.phantom.scanner import site_scanner
from ucadi_flwr.data.phantom.site import MIN_CASES, plan_site, write_phantom, write_site
from ucadi_flwr.data.phantom.volume import LABELS, make_volume
from ucadi_flwr.errors import DataError


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
    hu, spacing = make_volume(
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
    assert all(len(of_patient) == 1 for of_patient in labels.values())
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


def test_an_interrupted_run_leaves_nothing_and_can_be_repeated(tmp_path: Path) -> None:
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
