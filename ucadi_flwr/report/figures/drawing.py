"""A drawing: a matplotlib figure with its words, as SVG for the page and as files.

Text stays text (``svg.fonttype: none``), so that a figure can be searched, read aloud and copied;
labels are laid out by matplotlib's own font, which is wider than the usual system fonts that a
reader sees. Nothing is rasterised or clipped, so that no figure needs a data URI or ``url()``.
"""

import io
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import matplotlib
import matplotlib.style
from matplotlib.figure import Figure

from ucadi_flwr.report.formats import MINUS

Item = TypeVar("Item")

STYLE = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a "$" in a site's name is a dollar
    "font.sans-serif": ["DejaVu Sans", "Arial", "Helvetica", "sans-serif"],
    "font.size": 8.0,
    "axes.titlesize": 9.0,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#555555",
    "xtick.color": "#333333",
    "ytick.color": "#333333",
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
}

DPI = 200
"""Of the PNG files."""

LABEL_LENGTH = 24
"""Characters of a name in a figure; the tables have it in full."""

INCHES_A_CHARACTER = 0.068
"""Of the font at 8 points, on average."""


@dataclass(frozen=True)
class Drawing:
    """A figure and its words.

    ``title`` and ``description`` stand for it where it is not seen; ``caption`` is under it.
    ``group``: the section of the page; ``name``: its file, and what its ids begin with.
    """

    group: str
    name: str
    title: str
    description: str
    caption: str
    figure: Figure

    def svg(self) -> str:
        """An ``<svg>`` element to stand inside a page, in any font, with ids of its own."""
        root = self._saved(transparent=True)
        svg = ET.Element("svg", {"viewBox": root.attrib["viewBox"]})
        svg.set("style", f"--width: {root.attrib['width']}")
        return ET.tostring(self._labelled(svg, root), encoding="unicode")

    def write(self, folder: Path) -> list[Path]:
        """Write ``folder/name.svg`` and ``folder/name.png``, each atomically."""
        root = self._saved(transparent=False)
        svg = ET.Element("svg", {key: root.attrib[key] for key in ("viewBox", "width", "height")})
        svg.set("xmlns", "http://www.w3.org/2000/svg")
        text = ET.tostring(self._labelled(svg, root), encoding="utf-8", xml_declaration=True)
        words = {"Software": None, "Title": self.title, "Description": self.description}
        png = io.BytesIO()
        with style(self.name):
            self.figure.savefig(
                png, format="png", dpi=DPI, metadata=words, bbox_inches="tight", pad_inches=0.08
            )
        return [
            _replace(folder / f"{self.name}.svg", text),
            _replace(folder / f"{self.name}.png", png.getvalue()),
        ]

    def _saved(self, transparent: bool) -> ET.Element:
        for artist in self.figure.findobj():
            artist.set_clip_on(False)
        file = io.BytesIO()
        pad = 0.02 if transparent else 0.08
        with style(self.name):
            self.figure.savefig(
                file, format="svg", bbox_inches="tight", pad_inches=pad, transparent=transparent
            )
        return ET.fromstring(file.getvalue())  # noqa: S314 - our own figure

    def _labelled(self, svg: ET.Element, root: ET.Element) -> ET.Element:
        """``svg`` with what ``root`` draws and the words; ids begin with the figure's name."""
        name = self.name
        svg.set("role", "img")
        svg.set("aria-labelledby", f"{name}-title {name}-description")
        ET.SubElement(svg, "title", id=f"{name}-title").text = printable(self.title)
        ET.SubElement(svg, "desc", id=f"{name}-description").text = printable(self.description)
        svg.extend(child for child in root if child.tag.endswith("}g"))  # no metadata, no style
        for element in svg.iter():
            element.tag = element.tag.rpartition("}")[2]
            for key, value in list(element.attrib.items()):
                if key.endswith("}href"):  # xlink:href="#marker"
                    del element.attrib[key]
                    element.set("href", f"#{name}-{value.removeprefix('#')}")
                elif key == "id" and not value.startswith(f"{name}-"):
                    element.set("id", f"{name}-{value}")
        return svg


@contextmanager
def style(salt: str) -> Iterator[None]:
    """Matplotlib's defaults, whatever the user's own are, with ours."""
    with (
        matplotlib.style.context(["default", {**STYLE, "svg.hashsalt": salt}]),
        warnings.catch_warnings(),
    ):
        # The reader's browser has the letters that matplotlib's font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def in_parts(
    group: str,
    items: Sequence[Item],
    size: int,
    draw: Callable[[str, Sequence[Item], str], Drawing],
) -> list[Drawing]:
    """Several drawings if there are more items than fit on a page.

    ``draw`` is given a name ("roc", or "roc-1", "roc-2", …), its items and words for the caption.
    """
    parts = [items[i : i + size] for i in range(0, len(items), size)]
    if len(parts) == 1:
        return [draw(group, parts[0], "")]
    return [
        draw(f"{group}-{place}", part, f" Part {place} of {len(parts)}.")
        for place, part in enumerate(parts, 1)
    ]


def printable(text: str) -> str:
    """``text`` with what XML cannot hold replaced."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def shorten(name: str, length: int = LABEL_LENGTH) -> str:
    """At most ``length`` characters, the middle left out; what XML cannot hold is replaced."""
    shown = printable(name)
    half = length // 2
    return shown if len(shown) <= length else f"{shown[: half - 1]}…{shown[-half:]}"


def tick(value: float, _place: int | None = None) -> str:
    """A share at an axis: "0", ".2", "−.05", "1"."""
    text = f"{abs(value):.4f}".rstrip("0").rstrip(".")
    text = text.removeprefix("0") or "0"
    return f"{MINUS}{text}" if value < 0 and text != "0" else text


def _replace(path: Path, data: bytes) -> Path:
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(data)
    return partial.replace(path)
