"""Opening a data folder gives sites, or one line that names the problem."""

from pathlib import Path

import pytest
from PIL import Image

from ucadi_flwr.data.manifest import PARTS
from ucadi_flwr.data.sites import Division, open_sites, pooled
from ucadi_flwr.errors import DataError
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.base import check_site_name
from ucadi_flwr.recipes.task import TaskRecipe

TASK = loader.load(TaskRecipe, "xray-pneumonia2")
STRICT = loader.load(TaskRecipe, "xray-pneumonia2", {"one-class-sites": "refuse"})


def write_folder(folder: Path, rows: list[str], header: str = "file,label,patient") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for row in rows:
        path = folder / row.split(",")[0]
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4)).save(path)
    (folder / "manifest.csv").write_text("\n".join([header, *rows]) + "\n", encoding="utf-8")
    return folder


def rows(prefix: str, n: int = 10, label: str | None = None) -> list[str]:
    labels = ["normal", "pneumonia"]
    return [f"{prefix}{i}.png,{label or labels[i % 2]},{prefix}{i}" for i in range(n)]


def test_a_site_column_makes_sites(tmp_path: Path) -> None:
    both = [f"{row},south" for row in rows("s")] + [f"{row},north" for row in rows("n", 12)]
    sites = open_sites(write_folder(tmp_path, both, "file,label,patient,site"), TASK)
    assert list(sites) == ["north", "south"]
    assert [len(sites["north"].parts[p]) for p in ("train", "validation", "test")] == [10, 0, 2]
    pool = pooled(sites)
    assert len(pool.parts["train"]) == 10 + 8
    assert sorted(set(pool.labels("test"))) == [0, 1]


def test_a_folder_of_folders_makes_sites(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write_folder(tmp_path / name, rows(name))
    (tmp_path / "notes").mkdir()
    assert list(open_sites(tmp_path, TASK)) == ["a", "b"]
    with pytest.raises(DataError, match=r"has 2 sites \(a, b\); --sites 3 can only divide"):
        open_sites(tmp_path, TASK, Division(3))
    assert len(open_sites(tmp_path, TASK, Division(2))) == 2


def test_one_folder_is_partitioned_into_sites(tmp_path: Path) -> None:
    sites = open_sites(write_folder(tmp_path / "x", rows("x", 24)), TASK, Division(3))
    assert list(sites) == ["site-1", "site-2", "site-3"]
    assert list(open_sites(tmp_path / "x", TASK)) == ["x"]


def test_folders_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such data folder"):
        open_sites(tmp_path / "gone", TASK)
    with pytest.raises(DataError, match=r"empty|manifest"):
        open_sites(tmp_path, TASK)


def test_a_site_with_one_class(tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "x", rows("x", label="covid"))
    with pytest.raises(DataError, match=r"site x has images of one class only \(pneumonia\)"):
        open_sites(folder, STRICT)
    assert open_sites(folder, TASK)["x"].labels("test") == [1, 1]


def test_a_site_cannot_have_the_name_of_the_pool(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be named 'all'"):
        open_sites(write_folder(tmp_path / "all", rows("x")), TASK)


@pytest.mark.parametrize("name", ["../up", "a/b", ".hidden", "x" * 65, "a\tb"])
def test_a_site_s_name_must_be_usable_in_a_file_name(name: str) -> None:
    with pytest.raises(DataError, match="a site cannot be named"):
        check_site_name(name)


@pytest.mark.parametrize("name", ["north", "Site 1", "武汉", "st.-mary_2"])
def test_ordinary_site_names_are_accepted(name: str) -> None:
    assert check_site_name(name) == name


def test_a_site_without_test_cases(tmp_path: Path) -> None:
    few = ["a.png,normal,p", "b.png,pneumonia,q"]
    with pytest.raises(DataError, match="site x has no test cases; it needs two patients"):
        open_sites(write_folder(tmp_path / "x", few), TASK)


def test_a_patient_in_two_parts_at_two_sites_is_refused(tmp_path: Path) -> None:
    header = "file,label,patient,split"
    write_folder(tmp_path / "x", ["a.png,normal,p,train", "b.png,pneumonia,q,test"], header)
    write_folder(tmp_path / "y", ["c.png,normal,p,test", "d.png,pneumonia,r,train"], header)
    with pytest.raises(DataError, match="'p' is in train at site x and in test at site y"):
        open_sites(tmp_path, TASK)


def test_a_held_out_site_has_only_test_cases(tmp_path: Path) -> None:
    both = [f"{row},south" for row in rows("s")] + [f"{row},north" for row in rows("n", 12)]
    folder = write_folder(tmp_path, both, "file,label,patient,site")
    sites = open_sites(folder, TASK, Division(hold_out=("north",)))
    assert [len(sites["north"].parts[p]) for p in PARTS] == [0, 0, 12]
    assert (sites["north"].trains, sites["south"].trains) == (False, True)
    assert {case.site for case in pooled(sites).parts["train"]} == {"south"}
    with pytest.raises(DataError, match="--hold-out east: the sites are north, south"):
        open_sites(folder, TASK, Division(hold_out=("east",)))
    with pytest.raises(DataError, match="every site is held out"):
        open_sites(folder, TASK, Division(hold_out=("north", "south")))


def test_one_class_is_enough_for_a_site_that_is_held_out(tmp_path: Path) -> None:
    both = [f"{row},south" for row in rows("s")]
    both += [f"{row},north" for row in rows("n", 4, "pneumonia")]
    folder = write_folder(tmp_path, both, "file,label,patient,site")
    with pytest.raises(DataError, match="images of one class only"):
        open_sites(folder, STRICT)
    assert (
        len(open_sites(folder, STRICT, Division(hold_out=("north",)))["north"].labels("test")) == 4
    )


def test_folds_divide_all_but_the_test_by_patient(tmp_path: Path) -> None:
    two_each = [f"x{i}.png,{('normal', 'pneumonia')[i // 2 % 2]},p{i // 2}" for i in range(80)]
    folder = write_folder(tmp_path / "x", two_each)
    plain = open_sites(folder, TASK)["x"]
    seen: list[str] = []
    for fold in range(1, 6):
        site = open_sites(folder, TASK, Division(folds=5, fold=fold))["x"]
        patients = {part: {case.patient for case in site.parts[part]} for part in PARTS}
        assert site.parts["test"] == plain.parts["test"]
        assert not patients["train"] & patients["validation"]
        assert not (patients["train"] | patients["validation"]) & patients["test"]
        assert sorted(set(site.labels("validation"))) == [0, 1]
        seen += patients["validation"]
    assert len(seen) == len(set(seen)) == 40 - len({c.patient for c in plain.parts["test"]})
    with pytest.raises(DataError, match="site y has too few patients for 9 folds"):
        open_sites(write_folder(tmp_path / "y", rows("y", 6)), TASK, Division(folds=9, fold=9))
