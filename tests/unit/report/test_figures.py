"""The SVG: values where they belong, readable in grey, names as they are, ids of their own."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable

import matplotlib
import pytest
from matplotlib.colors import to_rgb

from ucadi_flwr.report import figures, tables
from ucadi_flwr.report.results import Results
from ucadi_flwr.report.tables import Column, Curve, Row, Stat

Make = Callable[..., Results]


def parse(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 - our own figure


def heat_map(results: Results) -> ET.Element:
    rows = [row for row in tables.summary(results, "auc") if row.finished]
    return parse(figures.cross_site(rows, tables.columns(results)))


def texts(svg: ET.Element) -> list[str]:
    return [element.text or "" for element in svg.iter("text")]


def at(element: ET.Element) -> tuple[float, float]:
    return round(float(element.attrib["x"])), round(float(element.attrib["y"]))


def style(element: ET.Element, name: str, otherwise: str) -> str:
    found = re.search(rf"(?:^|; ){name}: (\S+?)(?:;|$)", element.attrib["style"])
    return found.group(1) if found else otherwise


def test_every_value_stands_in_its_row_and_column(results: Results) -> None:
    svg = heat_map(results)
    found: dict[int, list[tuple[int, str]]] = {}
    for element in svg.iter("text"):
        if re.fullmatch(r"\d\.\d{3}|–", element.text or ""):
            x, y = at(element)
            found.setdefault(y, []).append((x, element.text or ""))
    grid = [[text for _, text in sorted(found[y])] for y in sorted(found)]
    assert grid == [
        ["0.850", "–", "0.650"],
        ["0.500", "–", "0.950"],
        ["–", "–", "–"],
        ["0.900", "–", "0.750"],
    ]
    labels = [text for text in texts(svg) if text in {"local: a", "local: c", "central", "fedavg"}]
    assert labels == ["local: a", "local: c", "central", "fedavg"]


def test_frames_mark_where_a_model_was_trained(results: Results) -> None:
    black = [
        path
        for path in heat_map(results).iter("path")
        if style(path, "stroke", "") == "#000000" and style(path, "stroke-width", "") == "1.4"
    ]
    assert len(black) == 2  # local: a at a, local: c at c


def test_cells_are_readable_and_rank_in_grey() -> None:
    aucs = [0.3, 0.5, 0.57, 0.62, 0.67, 0.72, 0.77, 0.82, 0.87, 0.92, 0.97, 1.0]
    columns = [Column(f"s{i:02d}", 5, 5) for i in range(len(aucs))]
    stats = {c.site: Stat(auc, None, 1, True) for c, auc in zip(columns, aucs, strict=True)}
    row = Row("fedavg", "all", 1, 1, Stat(None, None, 0, True), stats)
    svg = parse(figures.cross_site([row], columns))
    faces = [
        figures.luminance(*to_rgb(style(path, "fill", "")))
        for path in svg.iter("path")
        if style(path, "stroke", "") == "#ffffff"
    ]
    inks = [
        figures.luminance(*to_rgb(style(text, "fill", "black")))
        for text in svg.iter("text")
        if re.fullmatch(r"\d\.\d{3}", text.text or "")
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
    assert figures.luminance(*colour) == pytest.approx(expected, abs=1e-4)


def test_many_sites_get_narrow_cells_with_two_decimals(make: Make) -> None:
    sites = [f"s{i:02d}" for i in range(13)]
    assert texts(heat_map(make(["fedavg"], sites))).count(".88") == 13  # 0.875 to even
    assert texts(heat_map(make(["fedavg"], sites[:12]))).count("0.875") == 12


def test_long_names_are_tilted_and_cut_in_the_middle(make: Make) -> None:
    name = "St-Somewhere-and-the-Royal-University-Hospital"
    svg = heat_map(make(["fedavg"], [name, "nih"]))
    (label,) = (element for element in svg.iter("text") if "St-Some" in (element.text or ""))
    assert label.text == "St-Somewher…ity-Hospital"
    assert "rotate(-45" in label.attrib["transform"]
    short = heat_map(make(["fedavg"], ["hannover", "nih"]))
    assert not any("rotate(-45" in e.get("transform", "") for e in short.iter("text"))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("<script>x</script>", "<script>x</script>"),
        ("a$b$c^2", "a$b$c^2"),
        ("_under", "_under"),
        ("广州", "广州"),
        ("\"&'", "\"&'"),
        ("bell\a", "bell\N{REPLACEMENT CHARACTER}"),
    ],
)
def test_names_are_text_whatever_they_hold(name: str, shown: str, make: Make) -> None:
    results = make([name], [name], own=True)
    learning = figures.learning_curves(tables.curves(results))
    labels = texts(heat_map(results))
    assert labels.count(shown) == 1  # the column
    assert labels.count(f"{shown}: {shown}") == 1  # the row
    assert texts(parse(learning)).count(shown) == 2  # the panel and the legend
    assert "<script" not in learning


def test_curves_have_a_panel_a_strategy_and_tell_few_sites_apart(make: Make) -> None:
    names = [f"fed{i}" for i in range(5)]
    svg = parse(figures.learning_curves(tables.curves(make(names, ["a", "b"]))))
    assert [text for text in texts(svg) if text in names] == names
    assert {"mean over sites", "a", "b", "round", "training loss"} <= set(texts(svg))
    dashes = {style(p, "stroke-dasharray", "") for p in svg.iter("path") if p.get("style")}
    assert len(dashes - {""}) >= 2


def test_curves_of_many_sites_are_one_bundle(make: Make) -> None:
    sites = [f"s{i}" for i in range(7)]
    svg = parse(figures.learning_curves(tables.curves(make(["fedavg"], sites))))
    assert "each site" in texts(svg)
    assert not set(sites) & set(texts(svg))


def test_rounds_are_whole_numbers(make: Make) -> None:
    results = make(["fedavg"], ["a"])
    rounds = results.cells[0].rounds[:1]
    cell = results.cells[0].model_copy(update={"rounds": rounds})
    curves = tables.curves(results.model_copy(update={"cells": [cell]}))
    ticks = texts(parse(figures.learning_curves(curves)))
    assert ticks.count("1") == 1


def test_the_highest_line_is_the_highest_loss() -> None:
    curve = Curve("fedavg", [(1, 2.0), (2, 1.0)], {})
    svg = parse(figures.learning_curves([curve]))
    line, _in_the_legend = (p for p in svg.iter("path") if style(p, "stroke-width", "") == "1.8")
    (x1, y1), (x2, y2) = (
        map(float, point.split()) for point in re.findall(r"[ML] (\S+ \S+)", line.attrib["d"])
    )
    assert x1 < x2
    assert y1 < y2  # SVG's y runs down


def test_ids_and_references_carry_the_figures_name(results: Results) -> None:
    svg = parse(figures.learning_curves(tables.curves(results)))
    ids = [element.attrib["id"] for element in svg.iter() if "id" in element.attrib]
    assert len(set(ids)) == len(ids)
    assert all(name.startswith("learning-") for name in ids)
    links = [element.attrib["href"] for element in svg.iter("use")]
    assert links
    assert {link.removeprefix("#") for link in links} <= set(ids)
    title, description = svg.attrib["aria-labelledby"].split()
    assert {title, description} <= set(ids)


def test_the_users_own_settings_of_matplotlib_do_not_matter(results: Results) -> None:
    usual = figures.learning_curves(tables.curves(results))
    with matplotlib.rc_context({"axes.grid": True, "font.size": 30.0}):
        assert figures.learning_curves(tables.curves(results)) == usual
