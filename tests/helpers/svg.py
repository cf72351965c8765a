"""The texts and shapes of a figure."""

import re
import xml.etree.ElementTree as ET

from ucadi_flwr.report.figures.drawing import Drawing


def parse(drawing: Drawing) -> ET.Element:
    return ET.fromstring(drawing.svg())  # noqa: S314 - our own figure


def texts(svg: ET.Element) -> list[str]:
    return [element.text or "" for element in svg.iter("text")]


def rows(svg: ET.Element) -> list[list[str]]:
    """Rows of texts of one height, from top to bottom, each from left to right."""
    heights: dict[int, list[tuple[float, str]]] = {}
    for element in svg.iter("text"):
        if "x" in element.attrib:
            y = round(float(element.attrib["y"]))
            heights.setdefault(y, []).append((float(element.attrib["x"]), element.text or ""))
    return [[text for _, text in sorted(heights[y])] for y in sorted(heights)]


def style(element: ET.Element, name: str, otherwise: str = "") -> str:
    match = re.search(rf"(?:^|; ){name}: (\S+?)(?:;|$)", element.get("style", ""))
    return match.group(1) if match else otherwise


def paths(svg: ET.Element, **wanted: str) -> list[list[tuple[float, float]]]:
    """The corners of every path with this style, for example ``stroke_width="1.4"``."""
    return [
        [(float(x), float(y)) for x, y in re.findall(r"[ML] (\S+) (\S+)", element.attrib["d"])]
        for element in svg.iter("path")
        if all(style(element, k.replace("_", "-")) == v for k, v in wanted.items())
    ]
