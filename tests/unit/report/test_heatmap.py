"""The heat map: values where they belong, readable in grey."""

import re

import pytest
from helpers import svg
from helpers.small_analysis import a_test, analysis_of
from matplotlib.colors import to_rgb

from ucadi_flwr.report.comparisons import Comparison
from ucadi_flwr.report.figures.heatmap import HeatRow, cross_site, heat_map, luminance


def values(rows: list[list[str]]) -> list[list[str]]:
    cells = [[text for text in row if re.fullmatch(r"1?\.\d{3}|–", text)] for row in rows]
    return [row for row in cells if row]


def test_every_value_is_in_its_row_and_column(comparison: Comparison) -> None:
    root = svg.parse(cross_site(comparison))
    assert values(svg.rows(root)) == [
        [".870", "–"],
        [".860", "–"],
        [".900", "–"],
        [".890", "–"],
    ]
    models = ["local: a", "local: b", "fedavg", "ucadi"]
    assert [text for text in svg.texts(root) if text in models] == models
    assert [text for text in svg.texts(root) if text in ("a", "b")] == ["a", "b"]


def test_frames_mark_where_a_model_was_trained(comparison: Comparison) -> None:
    drawing = cross_site(comparison)
    black = svg.paths(svg.parse(drawing), stroke="#000000", stroke_width="1.4")
    assert len(black) == 2  # local: a at a, local: b at b
    assert "A frame marks" in drawing.caption
    assert "–: the AUC is not defined" in drawing.caption


def test_the_caption_explains_only_what_is_shown() -> None:
    only = Comparison(analysis_of([a_test("fedavg", "all", "a")]), ["fedavg"])
    caption = cross_site(only).caption
    assert "frame" not in caption
    assert "–" not in caption
    assert "seeds" not in caption
    assert "mean over seeds" in cross_site(only, over_seeds=True).caption


def test_cells_are_readable_and_rank_in_grey() -> None:
    aucs = [0.3, 0.5, 0.57, 0.62, 0.67, 0.72, 0.77, 0.82, 0.87, 0.92, 0.97, 1.0]
    sites = [f"s{i:02d}" for i in range(len(aucs))]
    root = svg.parse(heat_map([HeatRow("fedavg", "all", aucs)], sites))
    faces = [
        luminance(*to_rgb(svg.style(path, "fill")))
        for path in root.iter("path")
        if svg.style(path, "stroke") == "#ffffff"
    ]
    inks = [
        luminance(*to_rgb(svg.style(text, "fill", "black")))
        for text in root.iter("text")
        if re.fullmatch(r"1?\.\d{3}", text.text or "")
    ]
    assert len(faces) == len(inks) == len(aucs)
    assert faces == sorted(faces)
    assert len(set(faces)) == 10  # below 0.5 as 0.5, and 1.0 with 0.97
    for face, ink in zip(faces, inks, strict=True):
        darker, lighter = sorted((face, ink))
        assert (lighter + 0.05) / (darker + 0.05) >= 4.5  # WCAG 2 AA


@pytest.mark.parametrize(
    ("colour", "expected"),
    [((1, 1, 1), 1.0), ((0, 0, 0), 0.0), ((0.5, 0.5, 0.5), 0.2140), ((0, 1, 0), 0.7152)],
)
def test_luminance(colour: tuple[float, float, float], expected: float) -> None:
    assert luminance(*colour) == pytest.approx(expected, abs=1e-4)


def test_many_sites_get_narrow_cells_with_two_decimals() -> None:
    def count(sites: int, text: str) -> int:
        row = HeatRow("fedavg", "all", [0.875] * sites)
        names = [f"s{i:02d}" for i in range(sites)]
        number: int = svg.texts(svg.parse(heat_map([row], names))).count(text)
        return number

    assert count(13, ".88") == 13  # 0.875 to even
    assert count(12, ".875") == 12


def test_long_names_are_tilted_and_cut_in_the_middle() -> None:
    name = "St-Somewhere-and-the-Royal-University-Hospital"
    row = HeatRow("fedavg", "all", [0.5, 0.5])
    root = svg.parse(heat_map([row], [name, "nih"]))
    (label,) = (element for element in root.iter("text") if "St-Some" in (element.text or ""))
    assert label.text == "St-Somewher…ity-Hospital"
    assert "rotate(-45" in label.attrib["transform"]
    short = svg.parse(heat_map([row], ["hannover", "nih"]))
    assert not any("rotate(-45" in e.get("transform", "") for e in short.iter("text"))
