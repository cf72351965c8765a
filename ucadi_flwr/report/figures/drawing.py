"""A drawing: a matplotlib figure with its title and caption, as SVG for the page and as files.

Text stays text (``svg.fonttype: none``), so that a figure can be searched, read aloud and copied.
Labels are laid out with matplotlib's own font, which is wider than the usual system fonts of a
browser. Nothing is rasterised or clipped, so that no figure needs a data URI or ``url()``.
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

from ucadi_flwr.files.atomic import replacing
from ucadi_flwr.report.formats import MINUS

Item = TypeVar("Item")

STYLE = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a "$" in a site's name stays a dollar sign
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
"""Resolution of the PNG files, dots per inch."""

LABEL_LENGTH = 24
"""Characters of a name in a figure; the tables show the full name."""

INCHES_PER_CHARACTER = 0.068
"""Average width of a character of the font at 8 points."""


@dataclass(frozen=True)
class Drawing:
    """A figure with its texts.

    Attributes:
        group: the section of the page.
        name: the name of its files; the ids in the SVG begin with it.
        title: a short text for readers who do not see the picture.
        description: a longer one.
        caption: the text below the figure.
        figure: the picture. Its layout is computed when it is first saved, and kept, so that the
            page and the files show the same picture.
    """

    group: str
    name: str
    title: str
    description: str
    caption: str
    figure: Figure

    def svg(self) -> str:
        """An ``<svg>`` element for the page: it uses the page's font and has unique ids."""
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
        metadata = {"Software": None, "Title": self.title, "Description": self.description}
        paths = [folder / f"{self.name}.svg", folder / f"{self.name}.png"]
        with replacing(paths[0]) as partial:
            partial.write_bytes(text)
        with replacing(paths[1]) as partial, style(self.name):
            self.figure.savefig(
                partial,
                format="png",
                dpi=DPI,
                metadata=metadata,
                bbox_inches="tight",
                pad_inches=0.08,
            )
        return paths

    def _saved(self, transparent: bool) -> ET.Element:
        for artist in self.figure.findobj():
            artist.set_clip_on(False)
        file = io.BytesIO()
        pad = 0.02 if transparent else 0.08
        with style(self.name):
            self.figure.savefig(
                file, format="svg", bbox_inches="tight", pad_inches=pad, transparent=transparent
            )
        self.figure.set_layout_engine("none")  # keep the layout that was computed just now
        return ET.fromstring(file.getvalue())  # noqa: S314 - our own figure

    def _labelled(self, svg: ET.Element, root: ET.Element) -> ET.Element:
        """``svg`` with the texts and the content of ``root``; ids begin with the figure's name."""
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
    """Use :data:`STYLE` over matplotlib's defaults, whatever the user has configured.

    Args:
        salt: a text that the ids of the SVG depend on; the same text gives the same ids.
    """
    with (
        matplotlib.style.context(["default", {**STYLE, "svg.hashsalt": salt}]),
        warnings.catch_warnings(),
    ):
        # The browser has the letters that matplotlib's font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def in_parts(
    group: str,
    items: Sequence[Item],
    size: int,
    draw: Callable[[str, Sequence[Item], str], Drawing],
) -> list[Drawing]:
    """Draw ``items``, in several drawings if there are more than ``size``.

    Args:
        group: the name of the drawing, or of all parts ("roc-1", "roc-2", …).
        items: what is drawn.
        size: how many items fit on a page.
        draw: gets the name of a part, its items and a text for the end of its caption.
    """
    parts = [items[i : i + size] for i in range(0, len(items), size)]
    if len(parts) == 1:
        return [draw(group, parts[0], "")]
    return [
        draw(f"{group}-{place}", part, f" Part {place} of {len(parts)}.")
        for place, part in enumerate(parts, 1)
    ]


def printable(text: str) -> str:
    """``text`` with the characters that XML does not allow replaced."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def shorten(name: str, length: int = LABEL_LENGTH) -> str:
    """At most ``length`` characters, with "…" for the middle; made printable.

    >>> shorten("abcdefghij", 6)
    'ab…hij'
    """
    shown = printable(name)
    half = length // 2
    return shown if len(shown) <= length else f"{shown[: half - 1]}…{shown[-half:]}"


def tick(value: float, _place: int | None = None) -> str:
    """The label of a tick: "0", ".2", "−.05", "1"."""
    text = f"{abs(value):.4f}".rstrip("0").rstrip(".")
    text = text.removeprefix("0") or "0"
    return f"{MINUS}{text}" if value < 0 and text != "0" else text
