"""The cross-site heat map: AUC of every model at every test site."""

from collections.abc import Sequence
from dataclasses import dataclass

import matplotlib
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import BoundaryNorm
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.ticker import FuncFormatter

from ucadi_flwr.report.comparisons import Comparison
from ucadi_flwr.report.figures.drawing import (
    INCHES_PER_CHARACTER,
    LABEL_LENGTH,
    Drawing,
    shorten,
    style,
    tick,
)
from ucadi_flwr.report.formats import share

AUC_CLASSES = [0.5 + 0.05 * step for step in range(11)]
"""The AUCs at which the colour changes; an AUC below the first has the first colour."""

WIDE = 12
"""With more test sites than this, the heat map prints two decimals in narrower cells."""


@dataclass(frozen=True)
class HeatRow:
    """A model, the site that trained it (or "all"), and its AUC in each column."""

    label: str
    trained_at: str
    values: Sequence[float | None]


def cross_site(comparison: Comparison, over_seeds: bool = False) -> Drawing:
    """AUC of every model (rows) at every site (columns); a frame marks a model's own site.

    Args:
        comparison: the analysis; at least one model was tested at a site.
        over_seeds: whether the AUCs are means over several seeds.
    """
    sites = [test_set.site for test_set in comparison.sites]
    rows = [
        HeatRow(row.label, row.trained_at, [row.auc(site).mean for site in sites])
        for row in comparison.cross_rows()
    ]
    return heat_map(rows, sites, over_seeds)


def heat_map(rows: Sequence[HeatRow], sites: Sequence[str], over_seeds: bool = False) -> Drawing:
    """Draw the rows of :func:`cross_site`; each row has one value for each site."""
    wide = len(sites) > WIDE
    cell_width, cell_height = (0.31, 0.24) if wide else (0.62, 0.3)  # inches
    width, height = cell_width * len(sites), cell_height * len(rows)
    with style("cross-site"):
        figure = Figure(figsize=(width, height))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, len(sites)), ylim=(len(rows), 0))
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
        names = [shorten(site) for site in sites]
        tilted = max(map(len, names)) * INCHES_PER_CHARACTER > cell_width
        axes.set_xticks([x + 0.5 for x in range(len(sites))], names)
        if tilted:
            for text in axes.get_xticklabels():
                text.set(rotation=45, ha="right", rotation_mode="anchor")
        labels = [shorten(row.label, 2 * LABEL_LENGTH) for row in rows]
        axes.set_yticks([y + 0.5 for y in range(len(rows))], labels)
        axes.set_xlabel("tested at", labelpad=6)
        axes.set_ylabel("trained by", labelpad=6)
        colours = matplotlib.colormaps["cividis"]
        norm = BoundaryNorm(AUC_CLASSES, colours.N)
        for y, row in enumerate(rows):
            for x, auc in enumerate(row.values):
                face = "#f3f3f3" if auc is None else colours(norm(auc))
                _draw_cell(axes, x, y, face, share(auc, 2 if wide else 3))
        framed = False
        for y, row in enumerate(rows):  # last, so that no neighbour covers a frame
            for x, site in enumerate(sites):
                if row.trained_at == site:
                    _draw_frame(axes, x, y)
                    framed = True
        _draw_bar(figure, ScalarMappable(norm, colours), width, height)
    gaps = any(auc is None for row in rows for auc in row.values)
    return Drawing(
        group="cross-site",
        name="cross-site",
        title="AUC of every model at every test site",
        description=f"Heat map of {len(rows)} models by {len(sites)} test sites; the table below "
        "has the values.",
        caption="AUC of every model (rows) at every site (columns)"
        f"{', mean over seeds' if over_seeds else ''}."
        f"{' A frame marks a model tested at the site that trained it.' if framed else ''}"
        f"{' –: the AUC is not defined or was not measured.' if gaps else ''}"
        " An AUC below .5 has the darkest colour.",
        figure=figure,
    )


def _draw_bar(figure: Figure, colours: ScalarMappable, width: float, height: float) -> None:
    bar_height = min(max(height, 1.1), 1.8)
    bar = figure.add_axes(
        (1 + 0.18 / width, 1 - bar_height / height, 0.12 / width, bar_height / height)
    )
    drawn = figure.colorbar(colours, cax=bar, ticks=AUC_CLASSES[::2], format=FuncFormatter(tick))
    drawn.outline.set_linewidth(0.6)
    bar.set_title("AUC", fontsize=8, loc="left")
    bar.tick_params(length=2)


def _draw_cell(axes: Axes, x: int, y: int, face: object, text: str) -> None:
    cell = Rectangle((x, y), 1, 1, facecolor=face, edgecolor="white", linewidth=1)
    axes.add_patch(cell)
    red, green, blue, _ = cell.get_facecolor()
    ink = "black" if luminance(red, green, blue) > 0.179 else "white"
    axes.text(x + 0.5, y + 0.53, text, ha="center", va="center", color=ink)


def _draw_frame(axes: Axes, x: int, y: int) -> None:
    """A black frame in a white one, which is visible on every colour."""
    for inset, ink, width in ((0.03, "white", 3.0), (0.03, "black", 1.4)):
        side = 1 - 2 * inset
        axes.add_patch(
            Rectangle((x + inset, y + inset), side, side, fill=False, edgecolor=ink, lw=width)
        )


def luminance(red: float, green: float, blue: float) -> float:
    """Relative luminance (WCAG 2) of an sRGB colour; the channels and the result are in 0…1.

    Black text has the higher contrast above sqrt(1.05 × 0.05) − 0.05 = 0.179, white text below.
    """
    linear = [
        channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4
        for channel in (red, green, blue)
    ]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
