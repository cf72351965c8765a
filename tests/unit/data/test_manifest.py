"""A site's manifest: the cases that are read from it."""

import os
import time
from pathlib import Path

import pytest
from helpers.manifests import HEADER, LABELS, manifest_error, write_manifest

from ucadi_flwr.data.manifest import Case, by_site, read_manifest
from ucadi_flwr.errors import DataError


def test_every_kind_of_image_is_found_by_name(site_folder: Path) -> None:
    write_manifest(site_folder, HEADER, "a,covid,p1", "b,healthy,p2", "c,healthy,p2", "d,covid,p3")
    images = site_folder / "images"
    paths = [images / "a.nii.gz", images / "b.PNG", site_folder / "c.jpeg", images / "d"]
    cases = read_manifest(site_folder, LABELS)
    assert [case.path for case in cases] == paths
    assert cases[0] == Case("a", paths[0], "covid", "p1", "hospital", None)


def test_file_column_is_a_path_in_the_folder(site_folder: Path) -> None:
    columns = "file,site,label,patient,view,age,sex,licence,source"
    row = "images/a.nii.gz,north,covid,p1,AP,60,F,CC BY 4.0,here"
    write_manifest(site_folder, columns, row, "c.jpeg,south,healthy,p2,,,,,", name="index.csv")
    cases = read_manifest(site_folder, LABELS)
    assert [(case.name, case.site) for case in cases] == [
        ("images/a.nii.gz", "north"),
        ("c.jpeg", "south"),
    ]
    assert cases[0].path == site_folder / "images" / "a.nii.gz"


def test_name_beside_file_is_the_cases_name(site_folder: Path) -> None:
    write_manifest(site_folder, "name,file,label,patient", "first,c.jpeg,covid,p1")
    (case,) = read_manifest(site_folder, LABELS)
    assert (case.name, case.path) == ("first", site_folder / "c.jpeg")


def test_paths_are_absolute_from_a_relative_folder(
    site_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_manifest(site_folder, HEADER, "a,covid,p1")
    monkeypatch.chdir(site_folder.parent)
    (case,) = read_manifest(Path("hospital"), LABELS)
    assert (case.path, case.site) == (site_folder / "images" / "a.nii.gz", "hospital")


def test_default_site_is_used_only_without_a_site_column(site_folder: Path) -> None:
    write_manifest(site_folder, HEADER, "a,covid,p1")
    assert read_manifest(site_folder, LABELS, default_site="north")[0].site == "north"
    write_manifest(site_folder, HEADER + ",site", "a,covid,p1,south")
    assert read_manifest(site_folder, LABELS, default_site="north")[0].site == "south"


def test_an_empty_default_site_shows_that_there_is_no_column(site_folder: Path) -> None:
    write_manifest(site_folder, HEADER, "a,covid,p1")
    assert read_manifest(site_folder, LABELS, default_site="")[0].site == ""


def test_without_a_list_any_label_is_accepted_but_none_may_be_empty(site_folder: Path) -> None:
    write_manifest(site_folder, HEADER, "a,one thing,p1", "b,another,p2")
    assert [case.label for case in read_manifest(site_folder, None)] == ["one thing", "another"]
    write_manifest(site_folder, HEADER, "a,,p1")
    with pytest.raises(DataError, match=r"label is empty: line 2; fill it in$"):
        read_manifest(site_folder, None)


def test_split_is_read_where_given(site_folder: Path) -> None:
    write_manifest(
        site_folder,
        HEADER + ",split",
        "a,covid,p1,train",
        "b,covid,p2,validation",
        "c,covid,p3,test",
    )
    assert [case.split for case in read_manifest(site_folder, LABELS)] == [
        "train",
        "validation",
        "test",
    ]
    write_manifest(site_folder, HEADER + ",split", "a,covid,p1,", "b,covid,p2,")
    assert [case.split for case in read_manifest(site_folder, LABELS)] == [None, None]


def test_variants_from_spreadsheets_are_accepted(site_folder: Path) -> None:
    rows = ["﻿Name, Label ,PATIENT", '"a", covid ,p1', "", ",,", "b,covid,p2", ""]
    write_manifest(site_folder, *rows, newline="\r\n")
    assert [case.name for case in read_manifest(site_folder, LABELS)] == ["a", "b"]


def test_manifest_csv_has_priority_over_other_tables(site_folder: Path) -> None:
    write_manifest(site_folder, HEADER, "a,covid,p1")
    write_manifest(site_folder, HEADER, "b,covid,p1", name="excluded.csv")
    assert [case.name for case in read_manifest(site_folder, LABELS)] == ["a"]


def test_the_only_table_with_the_columns_is_the_manifest(site_folder: Path) -> None:
    write_manifest(site_folder, HEADER, "a,covid,p1", name="x.csv")
    write_manifest(site_folder, "name,reason", "b,short", name="excluded.csv")
    write_manifest(site_folder, '"never closed', name="broken.csv")
    (site_folder / "empty.csv").touch()
    (site_folder / "latin.csv").write_bytes(b"pr\xe9nom\n")
    assert [case.name for case in read_manifest(site_folder, LABELS)] == ["a"]


def test_sites_are_sorted_and_keep_their_order(site_folder: Path) -> None:
    write_manifest(site_folder, HEADER + ",site", "a,covid,p1,z", "b,covid,p2,m", "c,covid,p3,z")
    groups = by_site(read_manifest(site_folder, LABELS))
    assert {name: [case.name for case in cases] for name, cases in groups.items()} == {
        "m": ["b"],
        "z": ["a", "c"],
    }
    assert list(groups) == ["m", "z"]


@pytest.mark.parametrize("column", ["name", "patient", "filename", "series_name", "kernel", "age"])
def test_columns_that_identify_nobody_are_fine(site_folder: Path, column: str) -> None:
    header = ["name", "label", "patient"]
    row = ["a", "covid", "p1"]
    extra = [] if column in header else [column]
    write_manifest(site_folder, ",".join(header + extra), ",".join(row + ["x"] * len(extra)))
    assert len(read_manifest(site_folder, LABELS)) == 1


def test_links_inside_are_fine_but_name_the_same_image(site_folder: Path) -> None:
    (site_folder / "same.jpeg").symlink_to(site_folder / "c.jpeg")
    write_manifest(site_folder, HEADER, "same,covid,p1")
    assert read_manifest(site_folder, LABELS)[0].path == site_folder / "same.jpeg"
    write_manifest(site_folder, HEADER, "same,covid,p1", "c,covid,p1")
    assert "twice: line 3 ('c', as in line 2)" in manifest_error(site_folder)


def test_four_thousand_rows_take_well_under_a_second(site_folder: Path) -> None:
    for n in range(4000):
        os.close(os.open(site_folder / "images" / f"n{n}.png", os.O_CREAT))
    write_manifest(
        site_folder,
        "file,label,patient",
        *(f"images/n{n}.png,covid,p{n % 999}" for n in range(4000)),
    )
    start = time.process_time()
    cases = read_manifest(site_folder, LABELS)
    assert time.process_time() - start < 1
    assert len({case.path for case in cases}) == 4000
