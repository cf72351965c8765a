"""``prepare``: what it writes, which series it excludes, and that it writes all files or none."""

import csv
import gzip
import re
import stat
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from helpers.dicom_factory import CORONAL, truncate, write_series

from ucadi_flwr.data.dicom import Volume, find_series
from ucadi_flwr.data.manifest import read_manifest
from ucadi_flwr.data.prepare import PrepareResult, prepare, write_nifti
from ucadi_flwr.errors import DataError


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        tabs = path.suffix == ".tsv"
        return list(csv.DictReader(file, delimiter="\t" if tabs else ","))


@pytest.fixture
def hospital(tmp_path: Path) -> Path:
    """Three patients: two good series, one short, one tilted, one scout, and a licence."""
    root = tmp_path / "Doe_Jane"
    write_series(root / "x", series="axial", patient_id="B-2")
    write_series(root / "x", series="short", patient_id="B-2", slices=3)
    write_series(root / "y", series="coronal", patient_id="A-1", orientation=CORONAL)
    write_series(root / "y", series="tilted", patient_id="A-1", tilt_degrees=20)
    write_series(root, series="scout", patient_id="C-3", slices=1, ImageType=["LOCALIZER"])
    (root / "LICENSE").write_text("…", encoding="utf-8")
    return root


@pytest.fixture
def result(hospital: Path, tmp_path: Path) -> PrepareResult:
    return prepare(hospital, tmp_path / "site", min_slices=4)


def test_manifest_has_one_row_per_kept_series(result: PrepareResult) -> None:
    rows = rows_of(result.output / "manifest.csv")
    assert [row["name"] for row in rows] == [kept.name for kept in result.kept]
    assert [row["patient"] for row in rows] == ["p001", "p002"]
    (axial,) = (row for row in rows if row["patient"] == "p002")
    assert axial == {
        "name": f"p002-{axial['series']}",
        "label": "",
        "patient": "p002",
        "series": axial["series"],
        "slices": "5",
        "rows": "6",
        "columns": "8",
        "spacing_x_mm": "0.75",
        "spacing_y_mm": "0.5",
        "spacing_z_mm": "2.0",
        "orientation": "LPS",
        "manufacturer": "ACME",
        "kernel": "B30f",
        "contrast": "no",
    }


def test_nifti_holds_hu_spacing_and_orientation(result: PrepareResult, tmp_path: Path) -> None:
    (kept,) = (kept for kept in result.kept if kept.orientation == "LPS")
    image = nibabel.load(result.output / "images" / f"{kept.name}.nii.gz")
    hu = write_series(tmp_path / "again")
    assert image.get_data_dtype() == np.int16
    np.testing.assert_array_equal(np.asarray(image.dataobj), hu.T)
    np.testing.assert_allclose(image.header.get_zooms(), [0.75, 0.5, 2.0], rtol=1e-6)
    assert image.header.get_xyzt_units()[0] == "mm"
    expected = np.array([[-0.75, 0, 0, 10], [0, -0.5, 0, 20], [0, 0, 2, -30], [0, 0, 0, 1]])
    for affine, code in (image.get_qform(coded=True), image.get_sform(coded=True)):
        np.testing.assert_allclose(affine, expected, atol=1e-5)
        assert code == 1


def test_excluded_rows_have_the_reasons(result: PrepareResult) -> None:
    rows = rows_of(result.output / "excluded.csv")
    details = {row["reason"]: (row["patient"], row["slices"], row["detail"]) for row in rows}
    assert details == {
        "gantry tilt": ("p001", "5", "slices are stacked 20.0° off upright, at most 0.5°"),
        "too few slices": ("p002", "3", "3 slices, at least 4 needed"),
        "localiser": ("p003", "1", "1 of 1 images are scouts for planning"),
    }


def test_the_key_identifies_every_series(result: PrepareResult, hospital: Path) -> None:
    rows = rows_of(result.key)
    names = [kept.name for kept in result.kept] + [out.name for out in result.excluded]
    assert sorted(row["name"] for row in rows) == sorted(names)
    assert {(r["patient"], r["patient_id"]) for r in rows} == {
        ("p001", "A-1"),
        ("p002", "B-2"),
        ("p003", "C-3"),
    }
    of_uid = {series.uid: series for series in find_series(hospital).series}
    for row in rows:
        folders = {header.path.parent for header in of_uid[row["series_uid"]].slices}
        assert folders == {hospital / row["folder"]}


def test_only_the_owner_reads_what_was_written(result: PrepareResult) -> None:
    assert stat.S_IMODE(result.key.stat().st_mode) == 0o600
    assert stat.S_IMODE(result.output.stat().st_mode) == 0o700
    assert result.key.parent == result.output.parent


def test_the_output_contains_no_identifiers(result: PrepareResult) -> None:
    identifying = re.compile(rb"Doe|Jane|A-1|B-2|C-3|1970|2\.25\.|1\.2\.8")
    files = [path for path in result.output.rglob("*") if path.is_file()]
    assert len(files) == 4
    for path in files:
        raw = path.read_bytes()
        raw = gzip.decompress(raw)[:352] if path.suffix == ".gz" else raw  # header, not voxels
        assert not identifying.search(raw + bytes(path.relative_to(result.output))), path
    assert identifying.search(result.key.read_bytes())


def test_same_tree_gives_the_same_bytes(hospital: Path, tmp_path: Path) -> None:
    first = prepare(hospital, tmp_path / "first", min_slices=4).output
    second = prepare(hospital, tmp_path / "second", min_slices=4).output
    files = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert files
    assert all((first / file).read_bytes() == (second / file).read_bytes() for file in files)


def test_the_summary_names_the_next_step(result: PrepareResult) -> None:
    summary = result.summary()
    assert "2 series kept" in summary
    assert "3 series excluded (" in summary
    assert "1 too few slices" in summary
    assert "1 other files ignored" in summary
    assert "empty label column" in summary


def test_output_is_a_site_once_labels_are_filled_in(result: PrepareResult) -> None:
    with pytest.raises(DataError, match=r"label is empty: line 2, line 3; fill it in: .*healthy"):
        read_manifest(result.output, ["covid", "healthy"])
    manifest = result.output / "manifest.csv"
    text = manifest.read_text(encoding="utf-8")
    manifest.write_text(re.sub(r"(?m)^(p\d+-s\d+),", r"\1,covid", text), encoding="utf-8")
    cases = read_manifest(result.output, ["covid", "healthy"])
    assert [case.patient for case in cases] == ["p001", "p002"]
    assert all(case.path.is_file() for case in cases)


def test_progress_counts_every_series(hospital: Path, tmp_path: Path) -> None:
    calls: list[tuple[int, int]] = []
    prepare(hospital, tmp_path / "site", 4, lambda done, total: calls.append((done, total)))
    assert calls == [(n, 5) for n in range(1, 6)]


def test_one_bad_series_does_not_stop_the_others(hospital: Path, tmp_path: Path) -> None:
    hu = write_series(hospital / "cut", series="cut", patient_id="D-4")
    truncate(sorted((hospital / "cut").iterdir())[0], 0.95)
    (hospital / "broken").mkdir()
    (hospital / "broken" / "Doe.dcm").write_bytes(bytes(128) + b"DICM" + b"\xff" * 40)
    result = prepare(hospital, tmp_path / "site", min_slices=4)
    unreadable = [row for row in result.excluded if row.reason == "unreadable"]
    assert len(hu) == 5
    assert [(row.name, row.patient, row.slices) for row in unreadable] == [
        ("p004-s01", "p004", 5),
        ("x001", "", 0),
    ]
    assert unreadable[1].detail == "1 files whose DICOM header does not parse"
    assert rows_of(result.key)[-1]["folder"] == "broken"
    assert len(result.kept) == 2
    assert len(list((result.output / "images").iterdir())) == 2


def test_a_series_without_patient_is_excluded(tmp_path: Path) -> None:
    write_series(tmp_path / "in", patient_id="")
    write_series(tmp_path / "in", patient_id="A")
    result = prepare(tmp_path / "in", tmp_path / "out", min_slices=4)
    assert [(row.patient, row.reason) for row in result.excluded] == [("p000", "no patient ID")]
    assert [kept.name for kept in result.kept] == ["p001-s01"]


def test_technical_words_lose_special_characters(tmp_path: Path) -> None:
    evil = '=HYPERLINK("http://x")'
    agent: dict[str, Any] = {"ContrastBolusAgent": "Iopamidol", "ConvolutionKernel": ["B70f", "3"]}
    write_series(tmp_path / "in", Manufacturer=evil, **agent)
    (kept,) = prepare(tmp_path / "in", tmp_path / "out", min_slices=4).kept
    assert (kept.manufacturer, kept.kernel) == ("HYPERLINK(http//x)", "B70f/3")
    assert kept.contrast == "yes"


def test_if_no_series_is_kept_the_reasons_are_reported_and_nothing_is_written(
    tmp_path: Path,
) -> None:
    write_series(tmp_path / "in", series="1")
    write_series(tmp_path / "in", series="2")
    with pytest.raises(
        DataError, match=r"no series can be used \(2 too few slices\); first .*5 slices"
    ):
        prepare(tmp_path / "in", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


def test_tree_without_dicom_is_refused(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.txt").touch()
    with pytest.raises(DataError, match="no DICOM images among 1 files"):
        prepare(tmp_path / "in", tmp_path / "out")


@pytest.mark.parametrize(
    ("busy", "message"),
    [
        ("out/file", "exists and is not an empty folder"),
        ("out", "exists and is not an empty folder"),
        ("out.key.tsv", "key of an earlier output"),
    ],
)
def test_nothing_is_overwritten(hospital: Path, tmp_path: Path, busy: str, message: str) -> None:
    path = tmp_path / busy
    path.parent.mkdir(exist_ok=True)
    path.write_text("mine", encoding="utf-8")
    with pytest.raises(DataError, match=message):
        prepare(hospital, tmp_path / "out", min_slices=4)
    assert path.read_text(encoding="utf-8") == "mine"


def test_an_empty_output_folder_is_accepted(hospital: Path, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    result = prepare(hospital, tmp_path / "out", min_slices=4)
    assert (result.output / "manifest.csv").is_file()


def test_the_output_needs_an_existing_parent(hospital: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder; create it first"):
        prepare(hospital, tmp_path / "no" / "out", min_slices=4)


def test_one_slice_is_not_a_volume(hospital: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="at least 2"):
        prepare(hospital, tmp_path / "out", min_slices=1)


@pytest.mark.parametrize(
    ("raised", "seen"), [(KeyboardInterrupt(), KeyboardInterrupt), (OSError(28, "full"), DataError)]
)
def test_interruption_leaves_no_files(
    hospital: Path, tmp_path: Path, raised: BaseException, seen: type[BaseException]
) -> None:
    before = set(tmp_path.rglob("*"))

    def stop(done: int, total: int) -> None:
        if done == 3:
            hidden = [path for path in tmp_path.iterdir() if path not in before]
            assert any(list(path.rglob("*.nii.gz")) for path in hidden)
            raise raised

    with pytest.raises(seen):
        prepare(hospital, tmp_path / "out", 4, stop)
    assert set(tmp_path.rglob("*")) == before


def test_if_the_last_rename_fails_the_key_is_removed(
    hospital: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = set(tmp_path.rglob("*"))
    real = Path.replace

    def replace(self: Path, target: Path) -> Path:
        if self.is_dir():
            raise OSError(5, "Input/output error")
        return real(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(DataError, match=r"cannot be written \(Input/output error\)"):
        prepare(hospital, tmp_path / "out", min_slices=4)
    assert set(tmp_path.rglob("*")) == before


def test_a_folder_that_cannot_be_written_is_reported(
    hospital: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("ucadi_flwr.data.site_folder.tempfile.mkdtemp", refuse)
    with pytest.raises(DataError, match=r"cannot be written \(Permission denied\)"):
        prepare(hospital, tmp_path / "out", min_slices=4)


def test_float_volumes_stay_float(tmp_path: Path) -> None:
    hu = np.linspace(-1024, 40000, 24, dtype=np.float32).reshape(2, 3, 4)
    write_nifti(Volume(hu, np.diag([1.0, 1.0, 2.0, 1.0])), tmp_path / "a.nii.gz")
    image = nibabel.load(tmp_path / "a.nii.gz")
    assert image.get_data_dtype() == np.float32
    np.testing.assert_array_equal(np.asarray(image.dataobj), hu.T)
