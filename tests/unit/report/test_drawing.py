"""Figures as SVG and as files: names, ids, texts, the same bytes."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib
import pytest
from helpers import svg
from helpers.read_page import drawings_of
from helpers.small_analysis import a_difference, a_test, analysis_of, estimate
from helpers.small_results import fair_results
from PIL import Image

from ucadi_flwr.report.comparisons import Comparison
from ucadi_flwr.report.figures import write_figures
from ucadi_flwr.report.figures.drawing import shorten, tick
from ucadi_flwr.report.figures.forest import forest_plots
from ucadi_flwr.results.analysis import Analysis
from ucadi_flwr.results.experiment import Results

NAMES = ["forest-auc", "forest-accuracy", "roc", "cross-site", "learning", "calibration"]


HOSTILE = {
    "<script>x</script>": "<script>x</script>",
    "a$b$c^2": "a$b$c^2",
    "_under": "_under",
    "广州": "广州",
    "\"&'": "\"&'",
    "bell\a": "bell\N{REPLACEMENT CHARACTER}",
}


def test_names_are_text_whatever_they_hold(tmp_path: Path) -> None:
    strategies, sites = list(HOSTILE)[:3], list(HOSTILE)[3:]
    results = fair_results([*strategies, "x"], sites)
    tests = [a_test(name, "all", site) for name in strategies for site in sites]
    tests += [a_test("x", site, site) for site in sites]
    differences = [a_difference("x", strategies[0], site, estimate(0.1)) for site in sites]
    analysis = analysis_of(tests, differences=differences, reference=strategies[0])
    drawings = drawings_of(results, analysis)
    words = {drawing.name: svg.texts(svg.parse(drawing)) for drawing in drawings}
    for name in strategies:
        for key in ("cross-site", "learning", "roc", "calibration"):
            assert words[key].count(HOSTILE[name]) == 1  # the row, the panel or the legend
    for name in sites:
        shown = HOSTILE[name]
        for key in ("cross-site", "learning"):
            assert words[key].count(shown) == 1  # the column or the legend
        assert words["cross-site"].count(f"x: {shown}") == 1
        assert f"{shown}, 100 cases" in words["forest-auc"]
        for key in ("roc", "calibration"):
            assert f"{shown}, n = 100" in words[key]
    assert f"difference in AUC from {strategies[0]}" in words["forest-auc"]
    assert not any("<script" in drawing.svg() for drawing in drawings)
    for path in drawings[0].write(tmp_path)[:1]:
        ET.parse(path)  # noqa: S314 - our own figure


def test_characters_that_xml_forbids_are_replaced() -> None:
    differences = [a_difference("x", "bell\a", "s", estimate(0.1))]
    tests = [a_test("x", "all", "s")]
    analysis = analysis_of(tests, differences=differences, reference="bell\a")
    (drawing,) = forest_plots(Comparison(analysis, []))
    assert svg.parse(drawing).findtext("title") == "Differences in AUC from bell\ufffd"


@pytest.fixture(scope="module")
def written(
    fair: Results, analysis: Analysis, tmp_path_factory: pytest.TempPathFactory
) -> list[Path]:
    folder = tmp_path_factory.mktemp("out") / "new" / "figures"
    return write_figures(drawings_of(fair, analysis), folder)


def test_every_figure_is_written_as_svg_and_png(written: list[Path]) -> None:
    assert [path.name for path in written] == [f"{n}.{s}" for n in NAMES for s in ("svg", "png")]
    assert sorted(written[0].parent.iterdir()) == sorted(written)
    for path in written:
        if path.suffix == ".png":
            with Image.open(path) as image:
                assert image.info["dpi"] == pytest.approx((200, 200), abs=0.1)
                assert image.info["Title"]
                assert image.info["Description"]
                assert "Software" not in image.info
                assert image.getpixel((0, 0)) == (255, 255, 255, 255)
        else:
            root = ET.parse(path).getroot()  # noqa: S314 - our own figure
            assert root.tag == "{http://www.w3.org/2000/svg}svg"
            words = [root.find(f"{{http://www.w3.org/2000/svg}}{tag}") for tag in ("title", "desc")]
            assert all(word is not None and word.text for word in words)
            assert not re.search(r"url\(|data:|<script|<image", path.read_text())


def test_the_same_input_gives_the_same_bytes(
    fair: Results, analysis: Analysis, written: list[Path], tmp_path: Path
) -> None:
    first = [path.read_bytes() for path in written]
    with matplotlib.rc_context({"axes.grid": True, "font.size": 30.0}):  # a user's settings
        again = write_figures(drawings_of(fair, analysis), tmp_path)
    assert [path.read_bytes() for path in again] == first


def test_the_page_and_the_files_show_one_drawing(
    fair: Results, analysis: Analysis, written: list[Path], tmp_path: Path
) -> None:
    """Whatever is saved first: the layout is computed once."""
    drawings = drawings_of(fair, analysis)
    pictures = [drawing.svg() for drawing in drawings]
    files = write_figures(drawings, tmp_path)
    assert [drawing.svg() for drawing in drawings] == pictures
    assert [path.read_bytes() for path in files] == [path.read_bytes() for path in written]


def test_figures_of_an_earlier_call_are_removed_and_other_files_stay(
    fair: Results, tmp_path: Path
) -> None:
    for name in ("roc-2.svg", "roc-2.png", "forest-auc.svg", "rocket.png", "roc.txt", "a-roc.svg"):
        (tmp_path / name).write_text("old")
    write_figures(drawings_of(fair), tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("a-roc.svg", "learning.png", "learning.svg", "roc.txt", "rocket.png")
    ]


def test_without_a_finished_run_there_is_no_figure(results: Results) -> None:
    failed = [cell for cell in results.cells if cell.error is not None]
    assert drawings_of(results.model_copy(update={"cells": failed})) == []


def test_ids_and_references_carry_the_figures_name(fair: Results, analysis: Analysis) -> None:
    for drawing in drawings_of(fair, analysis):
        root = svg.parse(drawing)
        ids = [element.attrib["id"] for element in root.iter() if "id" in element.attrib]
        assert len(set(ids)) == len(ids)
        assert all(name.startswith(f"{drawing.name}-") for name in ids)
        links = {element.attrib["href"].removeprefix("#") for element in root.iter("use")}
        assert links <= set(ids)
        title, description = root.attrib["aria-labelledby"].split()
        assert {title, description} <= set(ids)
        assert (root.findtext("title"), root.findtext("desc")) == (
            drawing.title,
            drawing.description,
        )


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (-0.0, "0"), (1.0, "1"), (0.2, ".2"), (-0.05, "−.05"), (-1e-6, "0"), (2.5, "2.5")],
)
def test_ticks(value: float, text: str) -> None:
    assert tick(value) == text


def test_shortened_names_keep_both_ends() -> None:
    assert shorten("abcdefghij", 6) == "ab…hij"
    assert shorten("abcdef", 6) == "abcdef"
