"""A site's manifest: what is read from it, and one line for everything that is wrong with it."""

import os
import time
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ucadi_flwr.data import manifest as module
from ucadi_flwr.data.manifest import Case, by_site, read_manifest
from ucadi_flwr.errors import DataError

LABELS = ["covid", "healthy"]
HEADER = "name,label,patient"


@pytest.fixture
def site(tmp_path: Path) -> Path:
    """A site with images a … d of every kind, and no manifest yet."""
    root = tmp_path / "hospital"
    (root / "images").mkdir(parents=True)
    (root / "images" / "a.nii.gz").touch()
    (root / "images" / "b.PNG").touch()
    (root / "c.jpeg").touch()
    (root / "images" / "d").mkdir()
    return root


def write(site: Path, *lines: str, name: str = "manifest.csv", newline: str = "\n") -> Path:
    path = site / name
    path.write_bytes((newline.join(lines) + newline).encode())
    return path


def refused(site: Path, labels: list[str] = LABELS) -> str:
    with pytest.raises(DataError) as caught:
        read_manifest(site, labels)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert str(site) in message
    assert len(message) < 800
    return message.replace(f"{site / 'manifest.csv'}: ", "").replace(f"{site}: ", "")


def test_every_kind_of_image_is_found_by_name(site: Path) -> None:
    write(site, HEADER, "a,covid,p1", "b,healthy,p2", "c,healthy,p2", "d,covid,p3")
    images = site / "images"
    paths = [images / "a.nii.gz", images / "b.PNG", site / "c.jpeg", images / "d"]
    cases = read_manifest(site, LABELS)
    assert [case.path for case in cases] == paths
    assert cases[0] == Case("a", paths[0], "covid", "p1", "hospital", None)


def test_file_column_is_a_path_inside(site: Path) -> None:
    columns = "file,site,label,patient,view,age,sex,licence,source"
    row = "images/a.nii.gz,north,covid,p1,AP,60,F,CC BY 4.0,here"
    write(site, columns, row, "c.jpeg,south,healthy,p2,,,,,", name="index.csv")
    cases = read_manifest(site, LABELS)
    assert [(case.name, case.site) for case in cases] == [
        ("images/a.nii.gz", "north"),
        ("c.jpeg", "south"),
    ]
    assert cases[0].path == site / "images" / "a.nii.gz"


def test_name_beside_file_is_the_cases_name(site: Path) -> None:
    write(site, "name,file,label,patient", "first,c.jpeg,covid,p1")
    (case,) = read_manifest(site, LABELS)
    assert (case.name, case.path) == ("first", site / "c.jpeg")


def test_paths_are_absolute_from_a_relative_folder(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(site, HEADER, "a,covid,p1")
    monkeypatch.chdir(site.parent)
    (case,) = read_manifest(Path("hospital"), LABELS)
    assert (case.path, case.site) == (site / "images" / "a.nii.gz", "hospital")


def test_default_site_stands_in_for_a_site_column_only(site: Path) -> None:
    write(site, HEADER, "a,covid,p1")
    assert read_manifest(site, LABELS, default_site="north")[0].site == "north"
    write(site, HEADER + ",site", "a,covid,p1,south")
    assert read_manifest(site, LABELS, default_site="north")[0].site == "south"


def test_an_empty_default_site_shows_that_there_is_no_column(site: Path) -> None:
    write(site, HEADER, "a,covid,p1")
    assert read_manifest(site, LABELS, default_site="")[0].site == ""


def test_without_a_list_any_label_may_be_there_but_none_missing(site: Path) -> None:
    write(site, HEADER, "a,one thing,p1", "b,another,p2")
    assert [case.label for case in read_manifest(site, None)] == ["one thing", "another"]
    write(site, HEADER, "a,,p1")
    with pytest.raises(DataError, match=r"label is empty: line 2; fill it in$"):
        read_manifest(site, None)


def test_split_is_read_where_given(site: Path) -> None:
    write(site, HEADER + ",split", "a,covid,p1,train", "b,covid,p2,validation", "c,covid,p3,test")
    assert [case.split for case in read_manifest(site, LABELS)] == ["train", "validation", "test"]
    write(site, HEADER + ",split", "a,covid,p1,", "b,covid,p2,")
    assert [case.split for case in read_manifest(site, LABELS)] == [None, None]


def test_spreadsheets_habits_are_forgiven(site: Path) -> None:
    rows = ["﻿Name, Label ,PATIENT", '"a", covid ,p1', "", ",,", "b,covid,p2", ""]
    write(site, *rows, newline="\r\n")
    assert [case.name for case in read_manifest(site, LABELS)] == ["a", "b"]


def test_manifest_csv_wins_over_other_tables(site: Path) -> None:
    write(site, HEADER, "a,covid,p1")
    write(site, HEADER, "b,covid,p1", name="excluded.csv")
    assert [case.name for case in read_manifest(site, LABELS)] == ["a"]


def test_only_fitting_table_is_the_manifest(site: Path) -> None:
    write(site, HEADER, "a,covid,p1", name="x.csv")
    write(site, "name,reason", "b,short", name="excluded.csv")
    write(site, '"never closed', name="broken.csv")
    (site / "empty.csv").touch()
    (site / "latin.csv").write_bytes(b"pr\xe9nom\n")
    assert [case.name for case in read_manifest(site, LABELS)] == ["a"]


def test_sites_are_sorted_and_keep_their_order(site: Path) -> None:
    write(site, HEADER + ",site", "a,covid,p1,z", "b,covid,p2,m", "c,covid,p3,z")
    groups = by_site(read_manifest(site, LABELS))
    assert {name: [case.name for case in cases] for name, cases in groups.items()} == {
        "m": ["b"],
        "z": ["a", "c"],
    }
    assert list(groups) == ["m", "z"]


def test_folder_must_be_there(tmp_path: Path) -> None:
    assert "no such folder" in refused(tmp_path / "absent")


def test_no_manifest(site: Path) -> None:
    assert refused(site) == (
        "no manifest; add manifest.csv with columns name or file, label and patient"
    )


def test_table_that_is_no_manifest_is_named(site: Path) -> None:
    write(site, "a,b", name="notes.csv")
    assert "no manifest.csv, and no columns name or file" in refused(site)
    assert "'notes.csv'" in refused(site)


def test_two_candidates_are_named(site: Path) -> None:
    write(site, HEADER, name="one.csv")
    write(site, HEADER, name="two.csv")
    assert "'one.csv', 'two.csv' could each be the manifest" in refused(site)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([HEADER], "has no rows"),
        ([""], "the file is empty"),
        (["name,patient", "a,p1"], "no column 'label'; the columns are 'name', 'patient'"),
        (["label,patient", "covid,p1"], "no column 'name or file'"),
        (["x"], "no column 'name or file', 'label', 'patient'"),
        (["name;label;patient", "a;covid;p1"], "separate columns by commas"),
        ([HEADER + ",label", "a,covid,p1,covid"], "column 'label' twice"),
        ([HEADER, "a,covid,p1", "b,cvoid,p2"], "unknown label: line 3 ('cvoid'); labels are covid"),
        ([HEADER, "a,Covid,p1"], "unknown label: line 2 ('Covid')"),
        ([HEADER, "a,,p1"], "label is empty: line 2; fill it in: labels are covid, healthy"),
        ([HEADER, "a,covid,"], "patient is empty: line 2"),
        ([HEADER, ",covid,p1"], "name is empty: line 2"),
        ([HEADER + ",site", "a,covid,p1,"], "site is empty: line 2"),
        ([HEADER, "a,covid"], "values than columns: line 2 (2 values); give 3 a row"),
        ([HEADER, "a,covid,p1,x,y"], "values than columns: line 2 (5 values)"),
        ([HEADER, 'a,"covid,p1'], "line 2 is not CSV"),
        ([HEADER, 'a,covid,"p\n1"', "b,cvoid,p2"], "patient is not one plain line: line 2"),
        ([HEADER, 'a,covid,p1,"x\ny"', "b,covid,p2"], "line 2 (4 values)"),
        ([HEADER + ",note", 'a,covid,p1,"x\ny"', "b,cvoid,p2,z"], "unknown label: line 4"),
        ([HEADER, "a,covid," + "p" * 2000], "patient is not one plain line: line 2"),
        ([HEADER, "a,covid,p1", "a,covid,p1"], "twice: line 3 ('a', as in line 2)"),
        (["file,label,patient", "c.jpeg,covid,1", "./c.jpeg,covid,1"], "twice: line 3"),
        (
            ["name,file,label,patient", "n,c.jpeg,covid,1", "n,images/d,covid,1"],
            "the same image or name twice: line 3",
        ),
        ([HEADER, "zz,covid,p1"], "no such image: line 2 ('zz' is not in the folder"),
        ([HEADER, "../hospital/c,covid,p1"], "no such image: line 2"),
        (["file,label,patient", "images/zz.png,covid,1"], "'images/zz.png' does not exist"),
        (["file,label,patient", "manifest.csv,covid,1"], "is not a DICOM folder or one of .nii.gz"),
        (["file,label,patient", ".,covid,1"], "is not a DICOM folder or one of .nii.gz"),
        (["file,label,patient", "../c.jpeg,covid,1"], "is not a path inside the folder"),
        (["file,label,patient", "images/../c.jpeg,covid,1"], "is not a path inside the folder"),
        (["file,label,patient", "/etc/passwd,covid,1"], "is not a path inside the folder"),
        (["file,label,patient", "images\\a.nii.gz,covid,1"], "is not a path inside the folder"),
        (["file,label,patient", "x" * 300 + ".png,covid,1"], "does not exist"),
        (["file,label,patient", "\0.png,covid,1"], "file is not one plain line: line 2"),
        ([HEADER + ",split", "a,covid,p1,dev"], "unknown split: line 2 ('dev'); splits are train"),
        ([HEADER + ",split", "a,covid,p1,train", "b,covid,p2,"], "unknown split: line 3"),
        (
            [HEADER + ",split", "a,covid,p1,train", "b,covid,p1,test"],
            "one patient in two splits: line 3 ('p1': test, but train in line 2); keep all",
        ),
    ],
)
def test_what_is_wrong_is_told(site: Path, lines: list[str], message: str) -> None:
    write(site, *lines)
    told = refused(site)
    assert message in told, told


@pytest.mark.parametrize(
    "column",
    [
        *("patient_name", "PatientName", "Patient's Name", "name_of_patient", "Surname"),
        *("first name", "FAMILY_NAME", "patient_birth_date", "DateOfBirth", "dob", "MRN"),
        *("SSN", "姓名", "Geburtsdatum", "e-mail", "mother_surname"),
    ],
)
def test_columns_that_identify_people_are_refused(site: Path, column: str) -> None:
    write(site, f"{HEADER},{column}", "a,covid,p1,Secret")
    message = refused(site)
    assert "identifies people" in message
    assert repr(column.casefold())[1:-1] in message
    assert "Secret" not in message


@pytest.mark.parametrize("column", ["name", "patient", "filename", "series_name", "kernel", "age"])
def test_columns_that_identify_nobody_are_fine(site: Path, column: str) -> None:
    header = ["name", "label", "patient"]
    row = ["a", "covid", "p1"]
    extra = [] if column in header else [column]
    write(site, ",".join(header + extra), ",".join(row + ["x"] * len(extra)))
    assert len(read_manifest(site, LABELS)) == 1


def test_few_offenders_are_shown_and_the_others_counted(site: Path) -> None:
    write(site, HEADER, *(f"n{n},wrong{n},p{n}" for n in range(50)))
    message = refused(site)
    assert "line 2 ('wrong0'), line 3 ('wrong1'), line 4 ('wrong2') and 47 more" in message


def test_many_columns_are_cut(site: Path) -> None:
    write(site, ",".join(f"column{n}" + "x" * 100 for n in range(50)))
    assert "…" in refused(site)


def test_ambiguous_name_is_refused(site: Path) -> None:
    (site / "a.png").touch()
    write(site, HEADER, "a,covid,p1")
    assert "'a' is both 'a.png', 'images/a.nii.gz'" in refused(site)


@pytest.mark.parametrize(
    ("header", "row"),
    [
        (HEADER, "out,covid,p1"),
        ("file,label,patient", "out.png,covid,p1"),
        ("file,label,patient", "away/secret.png,covid,p1"),
    ],
)
def test_links_that_leave_the_folder_are_refused(site: Path, header: str, row: str) -> None:
    outside = site.parent / "outside"
    outside.mkdir()
    (outside / "secret.png").touch()
    (site / "out.png").symlink_to(outside / "secret.png")
    (site / "away").symlink_to(outside)
    write(site, header, row)
    assert "is a link that leaves the folder" in refused(site)


def test_links_inside_are_fine_but_name_the_same_image(site: Path) -> None:
    (site / "same.jpeg").symlink_to(site / "c.jpeg")
    write(site, HEADER, "same,covid,p1")
    assert read_manifest(site, LABELS)[0].path == site / "same.jpeg"
    write(site, HEADER, "same,covid,p1", "c,covid,p1")
    assert "twice: line 3 ('c', as in line 2)" in refused(site)


def test_not_utf8(site: Path) -> None:
    (site / "manifest.csv").write_bytes(b"name,label,patient\na,covid,p\xe9\n")
    assert refused(site) == "not UTF-8 at byte 28; save it as UTF-8"


def test_size_is_checked_before_reading(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(site, HEADER, "a,covid,p1")
    monkeypatch.setattr(module, "MANIFEST_BYTES", path.stat().st_size)
    assert len(read_manifest(site, LABELS)) == 1
    monkeypatch.setattr(module, "MANIFEST_BYTES", path.stat().st_size - 1)
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("read before its size is known"))
    assert f"{path.stat().st_size} bytes, at most" in refused(site)


def test_unreadable_manifest_is_told(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(site, HEADER, "a,covid,p1")

    def deny(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", deny)
    assert refused(site) == "cannot be read (Permission denied); change its permissions"


def test_four_thousand_rows_take_well_under_a_second(site: Path) -> None:
    for n in range(4000):
        os.close(os.open(site / "images" / f"n{n}.png", os.O_CREAT))
    write(site, "file,label,patient", *(f"images/n{n}.png,covid,p{n % 999}" for n in range(4000)))
    start = time.process_time()
    cases = read_manifest(site, LABELS)
    assert time.process_time() - start < 1
    assert len({case.path for case in cases}) == 4000


@settings(max_examples=100, deadline=None)
@given(text=st.binary(max_size=200))
def test_any_bytes_end_as_one_line_or_as_cases(
    tmp_path_factory: pytest.TempPathFactory, text: bytes
) -> None:
    folder = tmp_path_factory.mktemp("site")
    (folder / "a.png").touch()
    (folder / "manifest.csv").write_bytes(b"name,label,patient,site,split\n" + text)
    told = ""
    try:
        cases = read_manifest(folder, LABELS)
    except DataError as error:
        told = str(error)
    if told:
        assert len(told.splitlines()) == 1
    else:
        assert [case.path for case in cases] == [folder / "a.png"]
