"""``ucadi slices``: what it writes, which volumes it excludes, and that it writes all or none."""

import csv
import stat
from pathlib import Path

import nibabel
import numpy as np
import pytest
from helpers import dicom_factory
from PIL import Image

from ucadi_flwr import cli
from ucadi_flwr.data.dataset import training_set
from ucadi_flwr.data.manifest import read_manifest
from ucadi_flwr.data.sites import open_sites
from ucadi_flwr.data.slices import SliceSelection, extract_slices
from ucadi_flwr.data.transforms import read_ct, read_grey
from ucadi_flwr.errors import DataError
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.task import TaskRecipe

RAS = np.diag([0.8, 0.8, 5.0, 1.0])
LABELS = ("covid", "normal", "pneumonia")


def write_volume(path: Path, seed: int = 0, affine: np.ndarray = RAS, depth: int = 20) -> Path:
    """Noise, (x, y, z) = (12, 10, depth), in HU."""
    path.parent.mkdir(parents=True, exist_ok=True)
    hu = np.random.default_rng(seed).integers(-2048, 1500, (12, 10, depth)).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(hu, affine), path)
    return path


def write_manifest(site: Path, *lines: str) -> None:
    (site / "manifest.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def everything(root: Path) -> dict[Path, bytes]:
    return {p.relative_to(root): p.read_bytes() for p in sorted(root.rglob("*")) if p.is_file()}


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """Six patients, two of a label; the first has two volumes."""
    root = tmp_path / "hospital"
    lines = ["name,label,patient,series"]
    for i in range(7):
        write_volume(root / "images" / f"v{i}.nii.gz", seed=i)
        lines.append(f"v{i},{LABELS[i % 3]},p{i % 6},s")
    write_manifest(root, *lines)
    return root


def test_manifest_has_a_row_per_slice(site: Path, tmp_path: Path) -> None:
    images, excluded = extract_slices(site, tmp_path / "out", SliceSelection(per_volume=2))
    rows = rows_of(tmp_path / "out" / "manifest.csv")
    assert excluded == []
    assert len(rows) == len(images) == 14
    assert rows[:3] == [
        {"file": "images/v0-z007.png", "label": "covid", "patient": "p0"},
        {"file": "images/v0-z012.png", "label": "covid", "patient": "p0"},
        {"file": "images/v1-z007.png", "label": "normal", "patient": "p1"},
    ]
    written = {f"images/{path.name}" for path in (tmp_path / "out" / "images").iterdir()}
    assert written == {row["file"] for row in rows}
    table = (tmp_path / "out" / "excluded.csv").read_text(encoding="utf-8")
    assert table.split() == ["name,patient,reason,detail"]
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o700


def test_an_image_is_the_windowed_slice_that_tasks_on_volumes_read(
    site: Path, tmp_path: Path
) -> None:
    extract_slices(site, tmp_path / "out", SliceSelection(3, 0.5, (-1000.0, 400.0)))
    volume = read_ct(site / "images" / "v4.nii.gz")[0].numpy()
    for z in (6, 10, 13):
        path = tmp_path / "out" / "images" / f"v4-z{z:03d}.png"
        with Image.open(path) as image:
            assert (image.mode, image.size, image.info) == ("L", (12, 10), {})
        expected = np.interp(volume[z], [-1000, 400], [0, 255])
        assert np.abs(read_grey(path)[0].numpy() - expected).max() <= 0.5 + 1e-9


@pytest.mark.parametrize("turned", [False, True])
def test_a_mark_at_the_front_on_the_right_appears_at_the_top_left(
    tmp_path: Path, turned: bool
) -> None:
    hu, affine = np.full((12, 10, 8), -1200, np.int16), RAS
    hu[-2, -3, 5] = 600  # second from the patient's right, third from the front
    if turned:  # the same patient in the same place, stored front to back and head to feet
        hu, affine = hu[:, ::-1, ::-1].copy(), RAS @ np.diag([1.0, -1, -1, 1])
        affine[1:3, 3] = 0.8 * 9, 5 * 7
    site = tmp_path / "site"
    site.mkdir()
    nibabel.save(nibabel.Nifti1Image(hu, affine), site / "a.nii")
    write_manifest(site, "name,label,patient", "a,covid,p")
    extract_slices(site, tmp_path / "out", SliceSelection(8, 1.0))
    white = {
        path.name: np.argwhere(np.asarray(Image.open(path)) == 255).tolist()
        for path in (tmp_path / "out" / "images").iterdir()
    }
    assert {name: places for name, places in white.items() if places} == {"a-z005.png": [[2, 1]]}
    assert np.argwhere(read_ct(site / "a.nii")[0].numpy() == 600).tolist() == [[5, 2, 1]]


def test_dicom_series_give_the_same_slices_as_their_nifti(tmp_path: Path) -> None:
    site = tmp_path / "site"
    dicom_factory.write_series(site / "series", slices=6)
    nifti = read_ct(site / "series")[0].numpy().transpose(2, 1, 0).astype(np.int16)
    nibabel.save(nibabel.Nifti1Image(nifti, np.diag([-1.0, -1, 1, 1])), site / "n.nii")
    write_manifest(site, "file,label,patient", "series,covid,p", "n.nii,covid,p")
    extract_slices(site, tmp_path / "out", SliceSelection(2))
    images = tmp_path / "out" / "images"
    names = sorted(path.name for path in images.iterdir())
    assert names == ["n-z001.png", "n-z003.png", "series-z001.png", "series-z003.png"]
    for z in ("z001", "z003"):
        assert (images / f"n-{z}.png").read_bytes() == (images / f"series-{z}.png").read_bytes()


def test_the_result_is_a_site_split_by_patient_that_trains(site: Path, tmp_path: Path) -> None:
    extract_slices(site, tmp_path / "out", SliceSelection(per_volume=3))
    for name in ("ct-slices3", "ct-slices2"):
        task = loader.load(TaskRecipe, name)
        cases = read_manifest(tmp_path / "out", task.class_of)
        assert len(cases) == 21
        assert sum(case.patient == "p0" for case in cases) == 6  # of two volumes
        assert {case.site for case in cases} == {"out"}
        (opened,) = open_sites(tmp_path / "out", task).values()
        train, test = ({c.patient for c in opened.parts[p]} for p in ("train", "test"))
        assert train.isdisjoint(test)
        assert train | test == {f"p{i}" for i in range(6)}
        items = training_set(opened, task, tmp_path / "cache", seed=0)
        assert len(items) == len(opened.parts["train"])
        assert tuple(items[0]["image"].shape) == (1, 224, 224)
        assert float(items[0]["image"].std()) == pytest.approx(1, abs=1e-2)
        assert items[0]["label"] == task.class_of[opened.parts["train"][0].label]


def test_site_and_split_are_kept_where_the_volumes_have_them(site: Path, tmp_path: Path) -> None:
    lines = ["name,label,patient,split,site", "v0,a,p0,train,north", "v1,b,p1,test,south"]
    write_manifest(site, *lines)
    extract_slices(site, tmp_path / "out", SliceSelection(1))
    cases = read_manifest(tmp_path / "out", ["a", "b"])
    assert [(case.label, case.site, case.split) for case in cases] == [
        ("a", "north", "train"),
        ("b", "south", "test"),
    ]


def test_volumes_with_the_same_file_name_stay_apart(tmp_path: Path) -> None:
    site = tmp_path / "site"
    lines = ["file,name,label,patient"]
    for i, folder in enumerate(("Doe_Jane", "Roe_Rick")):
        write_volume(site / folder / "ct.nii.gz", seed=i)
        lines.append(f"{folder}/ct.nii.gz,../../evil{i},covid,p{i}")
    write_manifest(site, *lines)
    extract_slices(site, tmp_path / "out", SliceSelection(1))
    cases = read_manifest(tmp_path / "out", None)
    assert [case.name for case in cases] == ["images/ct-z010.png", "images/ct-2-z010.png"]
    assert not any(b"Doe" in raw or b"Roe" in raw for raw in everything(tmp_path / "out").values())


def test_the_same_site_gives_the_same_bytes(site: Path, tmp_path: Path) -> None:
    for out in ("one", "two"):
        extract_slices(site, tmp_path / out, SliceSelection())
    assert everything(tmp_path / "one") == everything(tmp_path / "two")


def test_broken_volumes_are_excluded_with_a_reason(site: Path, tmp_path: Path) -> None:
    (site / "images" / "v1.nii.gz").write_bytes(b"hello")
    hu = np.full((4, 4, 8), np.nan, np.float32)
    nibabel.save(nibabel.Nifti1Image(hu, RAS), site / "images" / "v2.nii.gz")
    dicom_factory.write_series(site / "Doe_Jane", slices=6, tilt_degrees=20)
    (site / "nothing").mkdir()
    write_manifest(
        site,
        *("file,label,patient", "images/v0.nii.gz,covid,p0", "images/v1.nii.gz,covid,p1"),
        *("images/v2.nii.gz,covid,p2", "Doe_Jane,covid,p3", "nothing,covid,p4"),
    )
    calls: list[tuple[int, int]] = []
    advance = lambda done, total: calls.append((done, total))  # noqa: E731
    images, excluded = extract_slices(site, tmp_path / "out", SliceSelection(2), advance)
    assert {image.patient for image in images} == {"p0"}
    assert calls == [(n, 5) for n in range(1, 6)]
    rows = rows_of(tmp_path / "out" / "excluded.csv")
    assert [(row["patient"], row["reason"]) for row in rows] == [
        ("p1", "unreadable"),
        ("p2", "unreadable"),
        ("p3", "gantry tilt"),
        ("p4", "unreadable"),
    ]
    assert [row["name"] for row in rows] == [out.name for out in excluded]
    assert rows[1]["detail"] == "a slice has voxels that are not numbers"
    assert rows[3]["detail"].startswith("0 DICOM series and 0 unreadable files")
    assert str(tmp_path) not in (tmp_path / "out" / "excluded.csv").read_text(encoding="utf-8")
    assert len(list((tmp_path / "out" / "images").iterdir())) == 2


@pytest.mark.parametrize("raised", [KeyboardInterrupt(), OSError(28, "No space left on device")])
def test_interruption_leaves_no_files(site: Path, tmp_path: Path, raised: BaseException) -> None:
    before = set(tmp_path.rglob("*"))

    def stop(done: int, total: int) -> None:
        if done == 3:
            assert [path for path in tmp_path.rglob("*.png") if path not in before]
            raise raised

    with pytest.raises((KeyboardInterrupt, DataError)):
        extract_slices(site, tmp_path / "out", SliceSelection(), stop)
    assert set(tmp_path.rglob("*")) == before


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object
) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["ucadi", "slices", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


def test_the_command_accepts_a_window_and_prints_a_summary(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (site / "images" / "v6.nii.gz").write_bytes(b"hello")
    words = ("--input", site, "--output", tmp_path / "out", "--window", "-1000", "400")
    code, out, err = run(monkeypatch, capsys, *words, "--per-volume", 4, "--share", 0.8)
    assert (code, err) == (0, "")
    assert out.splitlines()[:3] == [
        f"24 slices of 6 patients in {tmp_path / 'out' / 'images'}",
        "labels: covid (8), normal (8), pneumonia (8)",
        "1 volumes excluded (1 unreadable): see excluded.csv",
    ]
    extract_slices(site, tmp_path / "same", SliceSelection(4, 0.8, (-1000.0, 400.0)))
    assert everything(tmp_path / "out") == everything(tmp_path / "same")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--output", "busy"], "exists and is not an empty folder; choose another output"),
        (["--output", "no/out"], "no such folder; create it first"),
        (["--output", "out", "--input", "gone"], "gone: no such folder; name a site's folder"),
        (["--output", "out", "--input", "busy"], "no manifest; add manifest.csv"),
        (["--output", "out", "--input", "unlabelled"], "label is empty: line 2; fill it in"),
        (
            ["--output", "out", "--input", "pictures"],
            "no volume can be used (1 unreadable); first a: not",
        ),
        (["--output", "out", "--per-volume", "0"], "take at least 1 slice a volume"),
        (["--output", "out", "--window", "600", "-1200"], "the lower one first"),
    ],
)
def test_refusals_are_one_line_and_write_nothing(
    words: list[str],
    message: str,
    site: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, label in (("unlabelled", ""), ("pictures", "covid"), ("busy", "")):
        (tmp_path / name).mkdir()
        Image.new("L", (8, 8)).save(tmp_path / name / "a.png")
        if name != "busy":
            write_manifest(tmp_path / name, "name,label,patient", f"a,{label},p")
    before = everything(tmp_path)
    code, out, err = run(monkeypatch, capsys, "--input", site, *words)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1
    assert everything(tmp_path) == before
    assert not (tmp_path / "out").exists()
