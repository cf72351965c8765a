"""A site's manifest: one error line for each problem."""

from pathlib import Path

import pytest
from helpers.manifests import HEADER, LABELS, manifest_error, write_manifest
from hypothesis import given, settings
from hypothesis import strategies as st

from ucadi_flwr.data import manifest as module
from ucadi_flwr.data.manifest import read_manifest
from ucadi_flwr.errors import DataError


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    assert "no such folder" in manifest_error(tmp_path / "absent")


def test_no_manifest(site_folder: Path) -> None:
    assert manifest_error(site_folder) == (
        "no manifest; add manifest.csv with columns name or file, label and patient"
    )


def test_a_table_without_the_columns_is_named(site_folder: Path) -> None:
    write_manifest(site_folder, "a,b", name="notes.csv")
    assert "no manifest.csv, and no columns name or file" in manifest_error(site_folder)
    assert "'notes.csv'" in manifest_error(site_folder)


def test_two_candidates_are_named(site_folder: Path) -> None:
    write_manifest(site_folder, HEADER, name="one.csv")
    write_manifest(site_folder, HEADER, name="two.csv")
    assert "'one.csv', 'two.csv' could each be the manifest" in manifest_error(site_folder)


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
def test_errors_name_the_line_and_the_problem(
    site_folder: Path, lines: list[str], message: str
) -> None:
    write_manifest(site_folder, *lines)
    error = manifest_error(site_folder)
    assert message in error, error


@pytest.mark.parametrize(
    "column",
    [
        *("patient_name", "PatientName", "Patient's Name", "name_of_patient", "Surname"),
        *("first name", "FAMILY_NAME", "patient_birth_date", "DateOfBirth", "dob", "MRN"),
        *("SSN", "姓名", "Geburtsdatum", "e-mail", "mother_surname"),
    ],
)
def test_columns_that_identify_people_are_refused(site_folder: Path, column: str) -> None:
    write_manifest(site_folder, f"{HEADER},{column}", "a,covid,p1,Secret")
    message = manifest_error(site_folder)
    assert "identifies people" in message
    assert repr(column.casefold())[1:-1] in message
    assert "Secret" not in message


def test_a_few_wrong_rows_are_shown_and_the_others_counted(site_folder: Path) -> None:
    write_manifest(site_folder, HEADER, *(f"n{n},wrong{n},p{n}" for n in range(50)))
    message = manifest_error(site_folder)
    assert "line 2 ('wrong0'), line 3 ('wrong1'), line 4 ('wrong2') and 47 more" in message


def test_a_long_list_of_columns_is_shortened(site_folder: Path) -> None:
    write_manifest(site_folder, ",".join(f"column{n}" + "x" * 100 for n in range(50)))
    assert "…" in manifest_error(site_folder)


def test_ambiguous_name_is_refused(site_folder: Path) -> None:
    (site_folder / "a.png").touch()
    write_manifest(site_folder, HEADER, "a,covid,p1")
    assert "'a' is both 'a.png', 'images/a.nii.gz'" in manifest_error(site_folder)


@pytest.mark.parametrize(
    ("header", "row"),
    [
        (HEADER, "out,covid,p1"),
        ("file,label,patient", "out.png,covid,p1"),
        ("file,label,patient", "away/secret.png,covid,p1"),
    ],
)
def test_links_that_leave_the_folder_are_refused(site_folder: Path, header: str, row: str) -> None:
    outside = site_folder.parent / "outside"
    outside.mkdir()
    (outside / "secret.png").touch()
    (site_folder / "out.png").symlink_to(outside / "secret.png")
    (site_folder / "away").symlink_to(outside)
    write_manifest(site_folder, header, row)
    assert "is a link that leaves the folder" in manifest_error(site_folder)


def test_not_utf8(site_folder: Path) -> None:
    (site_folder / "manifest.csv").write_bytes(b"name,label,patient\na,covid,p\xe9\n")
    assert manifest_error(site_folder) == "not UTF-8 at byte 28; save it as UTF-8"


def test_size_is_checked_before_reading(site_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_manifest(site_folder, HEADER, "a,covid,p1")
    monkeypatch.setattr(module, "MANIFEST_BYTES", path.stat().st_size)
    assert len(read_manifest(site_folder, LABELS)) == 1
    monkeypatch.setattr(module, "MANIFEST_BYTES", path.stat().st_size - 1)
    monkeypatch.setattr(Path, "read_bytes", lambda _: pytest.fail("read before its size is known"))
    assert f"{path.stat().st_size} bytes, at most" in manifest_error(site_folder)


def test_an_unreadable_manifest_is_reported(
    site_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_manifest(site_folder, HEADER, "a,covid,p1")

    def deny(_: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", deny)
    assert (
        manifest_error(site_folder) == "cannot be read (Permission denied); change its permissions"
    )


@settings(max_examples=100, deadline=None)
@given(text=st.binary(max_size=200))
def test_any_bytes_give_cases_or_one_error_line(
    tmp_path_factory: pytest.TempPathFactory, text: bytes
) -> None:
    folder = tmp_path_factory.mktemp("site")
    (folder / "a.png").touch()
    (folder / "manifest.csv").write_bytes(b"name,label,patient,site,split\n" + text)
    message = ""
    try:
        cases = read_manifest(folder, LABELS)
    except DataError as error:
        message = str(error)
    if message:
        assert len(message.splitlines()) == 1
    else:
        assert [case.path for case in cases] == [folder / "a.png"]
