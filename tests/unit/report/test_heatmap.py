"""The heat map: values where they belong, readable in grey."""

import re
from collections.abc import Callable
from types import SimpleNamespace

import pytest
from matplotlib.colors import to_rgb

from ucadi_flwr.report.figures import draw
from ucadi_flwr.report.figures.drawing import Drawing
from ucadi_flwr.report.figures.heatmap import HeatRow, cross_site, luminance
from ucadi_flwr.results.analysis import Analysis
from ucadi_flwr.results.experiment import Results

Make = Callable[..., Results]


def heat_map(results: Results, analysis: Analysis | None = None) -> Drawing:
    (drawing,) = (d for d in draw(results, analysis) if d.group == "cross-site")
    return drawing


def values(rows: list[list[str]]) -> list[list[str]]:
    cells = [[text for text in row if re.fullmatch(r"1?\.\d{3}|–", text)] for row in rows]
    return [row for row in cells if row]


def test_every_value_stands_in_its_row_and_column(results: Results, svg: SimpleNamespace) -> None:
    root = svg.parse(heat_map(results))
    assert values(svg.rows(root)) == [
        [".850", "–", ".650"],
        [".500", "–", ".950"],
        ["–", "–", "–"],
        [".900", "–", ".750"],
    ]
    names = {"local: a", "local: c", "central", "fedavg"}
    labels = [text for text in svg.texts(root) if text in names]
    assert labels == ["local: a", "local: c", "central", "fedavg"]


def test_an_analysis_goes_before_the_results(
    fair: Results, analysis: Analysis, svg: SimpleNamespace
) -> None:
    assert values(svg.rows(svg.parse(heat_map(fair, analysis)))) == [
        [".870", "–"],
        [".860", "–"],
        [".900", "–"],
        [".890", "–"],
    ]


def test_an_analysis_of_all_cases_only_leaves_the_results(
    fair: Results, of: SimpleNamespace
) -> None:
    only = of.analysis([of.tested("fedavg", "all", "all")])
    assert heat_map(fair, only).svg() == heat_map(fair).svg()


def test_frames_mark_where_a_model_was_trained(results: Results, svg: SimpleNamespace) -> None:
    drawing = heat_map(results)
    black = svg.paths(svg.parse(drawing), stroke="#000000", stroke_width="1.4")
    assert len(black) == 2  # local: a at a, local: c at c
    assert "A frame marks" in drawing.caption
    assert "– is an AUC" in drawing.caption


def test_the_caption_tells_what_there_is(make: Make) -> None:
    caption = heat_map(make(["fedavg"], ["a"])).caption
    assert "frame" not in caption
    assert "–" not in caption
    assert "seeds" not in caption
    assert "mean over seeds" in heat_map(make(["fedavg"], ["a"], seeds=(0, 1))).caption


def test_cells_are_readable_and_rank_in_grey(svg: SimpleNamespace) -> None:
    aucs = [0.3, 0.5, 0.57, 0.62, 0.67, 0.72, 0.77, 0.82, 0.87, 0.92, 0.97, 1.0]
    sites = [f"s{i:02d}" for i in range(len(aucs))]
    root = svg.parse(cross_site([HeatRow("fedavg", "all", aucs)], sites))
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


def test_many_sites_get_narrow_cells_with_two_decimals(svg: SimpleNamespace) -> None:
    def count(sites: int, text: str) -> int:
        row = HeatRow("fedavg", "all", [0.875] * sites)
        names = [f"s{i:02d}" for i in range(sites)]
        found: int = svg.texts(svg.parse(cross_site([row], names))).count(text)
        return found

    assert count(13, ".88") == 13  # 0.875 to even
    assert count(12, ".875") == 12


def test_long_names_are_tilted_and_cut_in_the_middle(svg: SimpleNamespace) -> None:
    name = "St-Somewhere-and-the-Royal-University-Hospital"
    row = HeatRow("fedavg", "all", [0.5, 0.5])
    root = svg.parse(cross_site([row], [name, "nih"]))
    (label,) = (element for element in root.iter("text") if "St-Some" in (element.text or ""))
    assert label.text == "St-Somewher…ity-Hospital"
    assert "rotate(-45" in label.attrib["transform"]
    short = svg.parse(cross_site([row], ["hannover", "nih"]))
    assert not any("rotate(-45" in e.get("transform", "") for e in short.iter("text"))
