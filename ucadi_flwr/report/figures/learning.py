"""Learning curves: training loss over the rounds and over the data that a site has exchanged."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, Locator, MaxNLocator

from ucadi_flwr.report.figures.drawing import Drawing, shorten, style
from ucadi_flwr.report.figures.lines import LineStyle, line_styles
from ucadi_flwr.report.tables import LossCurve

_ACROSS = 4
"""Panels in a row; further strategies are in further rows."""

EVERY_ROUND = 5
"""With at most this many rounds, each round has a tick."""

MOST_SITES = 6
"""With more sites than this, the lines of all sites look the same."""


def learning_curves(curves: Sequence[LossCurve], over_seeds: bool = False) -> Drawing:
    """Training loss by round, one panel for each strategy: the mean and the sites.

    A second axis above the panel shows the MB that one site has exchanged by each round.

    Args:
        curves: one for each strategy, at least one.
        over_seeds: whether the losses are means over several seeds.
    """
    sites = sorted({site for curve in curves for site in curve.sites})
    styles = line_styles(["", *sites]) if len(sites) <= MOST_SITES else {}
    down = math.ceil(len(curves) / _ACROSS)
    across = math.ceil(len(curves) / down)
    exchanged = any(_exchanged(curve) for curve in curves)
    side = 2.15 if exchanged else 1.9
    with style("learning"):
        figure = Figure(
            figsize=(max(3.6, 1.9 * across + 0.4), side * down + 0.5), layout="constrained"
        )
        grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
        panels = list(grid.flat)
        for axes in panels:
            axes.set_visible(False)
        last = max(number for curve in curves for number, _ in curve.mean)
        for index, (axes, curve) in enumerate(zip(panels, curves, strict=False)):
            axes.set_visible(True)
            axes.set_title(shorten(curve.strategy), loc="left", pad=24 if exchanged else 4)
            axes.xaxis.set_major_locator(_rounds(last))
            axes.tick_params(
                labelleft=index % across == 0, labelbottom=index + across >= len(curves)
            )
            for site, points in curve.sites.items():
                _draw_line(axes, points, _site_line(styles.get(site)))
            _draw_line(axes, curve.mean, _mean_line())
            axes.autoscale_view()
        panels[0].set(xlim=(0.4, last + 0.6))
        panels[0].set_ylim(bottom=0)
        for axes, curve in zip(panels, curves, strict=False):
            if _exchanged(curve):
                _draw_megabytes(axes, curve)
            elif exchanged:
                axes.annotate(
                    "nothing is shared" if curve.sites else "images are pooled",
                    (0, 1),
                    (0, 4),
                    "axes fraction",
                    "offset points",
                    fontsize=7,
                    color="#555555",
                )
        figure.supxlabel("round", fontsize=8)
        figure.supylabel("training loss", fontsize=8)
        lines, names = [_mean_line()], ["mean over sites"]
        if styles:
            lines += [_site_line(styles[site]) for site in sites]
            names += map(shorten, sites)
        else:
            lines.append(_site_line(None))
            names.append("each site")
        figure.legend(
            lines,
            names,
            loc="outside upper left",
            ncols=min(4, len(lines)),
            frameon=False,
            handlelength=3.2,
        )
    data = (
        " Scale above a panel: data that one site has sent and received by then (mean over sites)."
        if exchanged
        else ""
    )
    return Drawing(
        group="learning",
        name="learning",
        title="Training loss by round",
        description=f"Line charts, one for each of {len(curves)} strategies, of the loss over the "
        "rounds.",
        caption=f"Training loss by round{', mean over seeds' if over_seeds else ''}. Black: mean "
        f"over sites, weighted by their number of training cases. Thin: each site.{data} The loss "
        "is measured on the training cases, so it says nothing about new cases.",
        figure=figure,
    )


def _rounds(last: int) -> Locator:
    if last <= EVERY_ROUND:
        return FixedLocator(range(1, last + 1))
    return MaxNLocator(integer=True, min_n_ticks=1, nbins=4)


def _exchanged(curve: LossCurve) -> float:
    """The MB that a site has exchanged by the last round."""
    return max(curve.megabytes.values(), default=0.0)


def _draw_megabytes(axes: Axes, curve: LossCurve) -> None:
    """Repeat the ticks of the rounds above the panel, in MB; if none was run, the last round."""
    unit, size = ("GB", 1e3) if _exchanged(curve) >= 1e3 else ("MB", 1.0)
    places = [float(place) for place in axes.get_xticks() if round(place) in curve.megabytes]
    shown = [
        (place, curve.megabytes[round(place)] / size)
        for place in places or [float(max(curve.megabytes))]
    ]
    top = axes.secondary_xaxis("top")
    top.set_xticks([place for place, _ in shown], [f"{value:.3g}" for _, value in shown])
    top.set_xlabel(f"{unit} per site", fontsize=7, labelpad=2, color="#333333")
    top.tick_params(labelsize=7, length=2.5, pad=1.5)


def _mean_line() -> Line2D:
    return Line2D([], [], color="black", lw=1.8, marker="o", ms=3.5)


def _site_line(line_style: LineStyle | None) -> Line2D:
    if line_style is None:
        return Line2D([], [], color="#999999", lw=0.6)
    line = line_style.line(marked=True, width=1)
    line.set_markersize(2.8)
    return line


def _draw_line(axes: Axes, points: Sequence[tuple[int, float]], line: Line2D) -> None:
    line.set_data(*zip(*points, strict=True))
    line.set_markevery(max(1, len(points) // 8))
    axes.add_line(line)
