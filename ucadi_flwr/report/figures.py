"""The report's figures, as SVG text to stand inside an HTML page.

Text stays text (``svg.fonttype: none``), so that a figure can be searched, read aloud and copied;
labels are laid out by matplotlib's own font, which is wider than the usual system fonts that a
reader sees. Nothing is rasterised or clipped, so that no figure needs a data URI or ``url()``.
"""

import io
import math
import warnings
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import matplotlib
import matplotlib.style
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator

from ucadi_flwr.report.tables import Column, Curve, Row

STYLE = {
    "svg.fonttype": "none",
    "text.parse_math": False,  # a "$" in a site's name is a dollar
    "font.sans-serif": ["DejaVu Sans"],
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

AUC_CLASSES = [0.5 + 0.05 * step for step in range(11)]
"""Where the heat map's colours change; an AUC below the first has the first colour."""

LABEL_LENGTH = 24
"""Characters of a name in a figure; the tables have it in full."""

WIDE = 12
"""With more test sites than this, the heat map prints two decimals in narrower cells."""

PANELS_ACROSS = 4
"""At most; more strategies continue in further rows."""

SITE_LINES = [
    ("#0072b2", (0, (5, 1.5)), "s"),
    ("#d55e00", (0, (1, 1)), "^"),
    ("#009e73", (0, (5, 1.5, 1, 1.5)), "D"),
    ("#cc79a7", (0, (3, 1)), "v"),
    ("#e69f00", (0, (8, 2)), "P"),
    ("#56b4e9", (0, (3, 1, 1, 1, 1, 1)), "X"),
]
"""Okabe and Ito's colours; dashes and markers tell the lines apart without them."""


def cross_site(rows: Sequence[Row], columns: Sequence[Column]) -> str:
    """AUC of every model (rows) at every site (columns); a frame marks a model's own site."""
    wide = len(columns) > WIDE
    cell_width, cell_height = (0.31, 0.24) if wide else (0.62, 0.3)  # inches
    width, height = cell_width * len(columns), cell_height * len(rows)
    with _style("cross-site"):
        figure = Figure(figsize=(width, height))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, len(columns)), ylim=(len(rows), 0))
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        names = [_shorten(column.site) for column in columns]
        tilted = max(map(len, names)) * 0.068 > cell_width  # 0.068 inches a character at 8 pt
        axes.set_xticks([x + 0.5 for x in range(len(columns))], names)
        if tilted:
            for text in axes.get_xticklabels():
                text.set(rotation=45, ha="right", rotation_mode="anchor")
        labels = [_shorten(row.label, 2 * LABEL_LENGTH) for row in rows]
        axes.set_yticks([y + 0.5 for y in range(len(rows))], labels)
        axes.set_xlabel("tested at", labelpad=6)
        axes.set_ylabel("trained by", labelpad=6)
        colours = matplotlib.colormaps["cividis"]
        norm = BoundaryNorm(AUC_CLASSES, colours.N)
        for y, row in enumerate(rows):
            for x, column in enumerate(columns):
                auc = row.sites[column.site].mean
                face = "#f3f3f3" if auc is None else colours(norm(auc))
                _draw_cell(axes, x, y, face, _auc_text(auc, wide))
        for y, row in enumerate(rows):  # last, so that no neighbour covers a frame
            for x, column in enumerate(columns):
                if row.trained_at == column.site:
                    _draw_frame(axes, x, y)
        bar_height = min(max(height, 1.1), 1.8)
        bar = figure.add_axes(
            (1 + 0.18 / width, 1 - bar_height / height, 0.12 / width, bar_height / height)
        )
        figure.colorbar(
            ScalarMappable(norm, colours), cax=bar, ticks=AUC_CLASSES[::2], format="%.1f"
        ).outline.set_linewidth(0.6)
        bar.set_title("AUC", fontsize=8, loc="left")
        bar.tick_params(length=2)
        return _svg(
            figure,
            "cross-site",
            "AUC of every model at every test site",
            f"Heat map of {len(rows)} models by {len(columns)} test sites; table 1 has the values.",
        )


def learning_curves(curves: Sequence[Curve]) -> str:
    """Training loss by round, one panel a strategy on common axes: its mean and its sites."""
    sites = sorted({site for curve in curves for site in curve.sites})
    down = math.ceil(len(curves) / PANELS_ACROSS)
    across = math.ceil(len(curves) / down)
    with _style("learning"):
        figure = Figure(
            figsize=(max(3.6, 1.9 * across + 0.4), 1.9 * down + 0.5), layout="constrained"
        )
        grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
        panels = list(grid.flat)
        for axes in panels:
            axes.set_visible(False)
        for index, (axes, curve) in enumerate(zip(panels, curves, strict=False)):
            axes.set_visible(True)
            axes.set_title(_shorten(curve.strategy), loc="left")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1, nbins=6))
            axes.tick_params(
                labelleft=index % across == 0, labelbottom=index + across >= len(curves)
            )
            for site, points in curve.sites.items():
                _draw_line(axes, points, _site_line(site, sites))
            _draw_line(axes, curve.mean, _mean_line())
            axes.autoscale_view()
        last = max(number for curve in curves for number, _ in curve.mean)
        panels[0].set(xlim=(0.4, last + 0.6))
        panels[0].set_ylim(bottom=0)
        figure.supxlabel("round", fontsize=8)
        figure.supylabel("training loss", fontsize=8)
        handles, names = [_mean_line()], ["mean over sites"]
        if len(sites) <= len(SITE_LINES):
            handles += [_site_line(site, sites) for site in sites]
            names += map(_shorten, sites)
        else:
            handles.append(_site_line(sites[0], sites))
            names.append("each site")
        figure.legend(
            handles,
            names,
            loc="outside upper left",
            ncols=min(4, len(names)),
            frameon=False,
            handlelength=3.2,
        )
        return _svg(
            figure,
            "learning",
            "Training loss by round",
            f"Line charts, one for each of {len(curves)} strategies, of the loss over the rounds.",
        )


def _draw_cell(axes: Axes, x: int, y: int, face: object, text: str) -> None:
    cell = Rectangle((x, y), 1, 1, facecolor=face, edgecolor="white", linewidth=1)
    axes.add_patch(cell)
    red, green, blue, _ = cell.get_facecolor()
    ink = "black" if luminance(red, green, blue) > 0.179 else "white"
    axes.text(x + 0.5, y + 0.53, text, ha="center", va="center", color=ink)


def _draw_frame(axes: Axes, x: int, y: int) -> None:
    """Black in white: seen on every colour."""
    for inset, ink, width in ((0.03, "white", 3.0), (0.03, "black", 1.4)):
        side = 1 - 2 * inset
        axes.add_patch(
            Rectangle((x + inset, y + inset), side, side, fill=False, edgecolor=ink, lw=width)
        )


def luminance(red: float, green: float, blue: float) -> float:
    """Relative luminance (WCAG 2) of an sRGB colour, all in 0…1.

    Black text has the higher contrast above sqrt(1.05 × 0.05) − 0.05 = 0.179, white below.
    """
    linear = [
        channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
        for channel in (red, green, blue)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def _auc_text(auc: float | None, wide: bool) -> str:
    if auc is None:
        return "–"
    return f"{auc:.2f}".removeprefix("0") if wide else f"{auc:.3f}"


def _mean_line() -> Line2D:
    return Line2D([], [], color="black", lw=1.8, marker="o", ms=3.5)


def _site_line(site: str, sites: Sequence[str]) -> Line2D:
    if len(sites) > len(SITE_LINES):
        return Line2D([], [], color="#999999", lw=0.6)
    colour, dashes, marker = SITE_LINES[sites.index(site)]
    return Line2D([], [], color=colour, lw=1, ls=dashes, marker=marker, ms=2.8)


def _draw_line(axes: Axes, points: Sequence[tuple[int, float]], line: Line2D) -> None:
    line.set_data(*zip(*points, strict=True))
    line.set_markevery(max(1, len(points) // 8))
    axes.add_line(line)


def _shorten(name: str, length: int = LABEL_LENGTH) -> str:
    """At most ``length`` characters, the middle left out; what XML cannot hold is replaced."""
    shown = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)
    half = length // 2
    return shown if len(shown) <= length else f"{shown[: half - 1]}…{shown[-half:]}"


@contextmanager
def _style(salt: str) -> Iterator[None]:
    """Matplotlib's defaults, whatever the user's own are, with ours."""
    with (
        matplotlib.style.context(["default", {**STYLE, "svg.hashsalt": salt}]),
        warnings.catch_warnings(),
    ):
        # The reader's browser has the letters that matplotlib's font lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        yield


def _svg(figure: Figure, name: str, title: str, description: str) -> str:
    """The figure as an ``<svg>`` element whose ids begin with ``name``, as a page needs."""
    for artist in figure.findobj():
        artist.set_clip_on(False)
    file = io.BytesIO()
    figure.savefig(file, format="svg", bbox_inches="tight", pad_inches=0.02, transparent=True)
    root = ET.fromstring(file.getvalue())  # noqa: S314 - our own figure
    kept = [child for child in root if child.tag.endswith("}g")]  # not <metadata>, not <style>
    svg = ET.Element("svg", {"viewBox": root.attrib["viewBox"], "role": "img"})
    svg.set("aria-labelledby", f"{name}-title {name}-description")
    svg.set("style", f"--width: {root.attrib['width']}")
    ET.SubElement(svg, "title", id=f"{name}-title").text = title
    ET.SubElement(svg, "desc", id=f"{name}-description").text = description
    svg.extend(kept)
    for element in svg.iter():
        element.tag = element.tag.rpartition("}")[2]
        for key, value in list(element.attrib.items()):
            if key.endswith("}href"):  # xlink:href="#marker"
                del element.attrib[key]
                element.set("href", f"#{name}-{value.removeprefix('#')}")
            elif key == "id" and not value.startswith(f"{name}-"):
                element.set("id", f"{name}-{value}")
    return ET.tostring(svg, encoding="unicode")
