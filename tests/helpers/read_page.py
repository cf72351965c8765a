"""What a figure or a page shows, as lists of words and numbers."""

import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser

from ucadi_flwr.report.figures.drawing import Drawing

VOID = {"meta", "path", "use"}


def parse(drawing: Drawing) -> ET.Element:
    return ET.fromstring(drawing.svg())  # noqa: S314 - our own figure


def texts(svg: ET.Element) -> list[str]:
    return [element.text or "" for element in svg.iter("text")]


def rows(svg: ET.Element) -> list[list[str]]:
    """WireFormat that stand beside each other, from top to bottom and from left to right."""
    found: dict[int, list[tuple[float, str]]] = {}
    for element in svg.iter("text"):
        if "x" in element.attrib:
            y = round(float(element.attrib["y"]))
            found.setdefault(y, []).append((float(element.attrib["x"]), element.text or ""))
    return [[text for _, text in sorted(found[y])] for y in sorted(found)]


def style(element: ET.Element, name: str, otherwise: str = "") -> str:
    found = re.search(rf"(?:^|; ){name}: (\S+?)(?:;|$)", element.get("style", ""))
    return found.group(1) if found else otherwise


def paths(svg: ET.Element, **wanted: str) -> list[list[tuple[float, float]]]:
    """The corners of every path with that style, ``stroke_width="1.4"``."""
    return [
        [(float(x), float(y)) for x, y in re.findall(r"[ML] (\S+) (\S+)", element.attrib["d"])]
        for element in svg.iter("path")
        if all(style(element, k.replace("_", "-")) == v for k, v in wanted.items())
    ]


class Page(HTMLParser):
    """Tags, attributes, words and tables of a page; a tag that is closed wrongly is an error."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.captions: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "caption":
            self.captions.append("")
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        self.words += data.split()
        if "caption" in self.open:
            self.captions[-1] = " ".join([*self.captions[-1].split(), *data.split()])
        if {"th", "td"} & set(self.open):
            row = self.tables[-1][-1]
            row[-1] = " ".join([*row[-1].split(), *data.split()])

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def table(self, words: str) -> list[list[str]]:
        """The one table that has these words in its caption."""
        pairs = zip(self.captions, self.tables, strict=True)
        (found,) = (table for caption, table in pairs if words in caption)
        return found
