"""Learning curves: training loss over rounds and over what a site has exchanged by then."""

import math
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, Locator, MaxNLocator

from ucadi_flwr.report.figures.drawing import Drawing, shorten, style
from ucadi_flwr.report.figures.lines import Look, looks
from ucadi_flwr.report.tables import Curve

ACROSS = 4
"""Panels at most; more strategies continue in further rows."""

EVERY_ROUND = 5
"""Up to so many rounds, each has a tick."""

MOST_SITES = 6
"""With more sites than this, their lines are not told apart."""


def learning_curves(curves: Sequence[Curve], over_seeds: bool = False) -> Drawing:
    """Training loss by round, one panel a strategy on common axes: its mean and its sites.

    A second axis, above, has the MB that one site has exchanged by the rounds below it.
    """
    sites = sorted({site for curve in curves for site in curve.sites})
    look = looks(["", *sites]) if len(sites) <= MOST_SITES else {}
    down = math.ceil(len(curves) / ACROSS)
    across = math.ceil(len(curves) / down)
    sent = any(_sent(curve) for curve in curves)
    side = 2.15 if sent else 1.9
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
            axes.set_title(shorten(curve.strategy), loc="left", pad=24 if sent else 4)
            axes.xaxis.set_major_locator(_rounds(last))
            axes.tick_params(
                labelleft=index % across == 0, labelbottom=index + across >= len(curves)
            )
            for site, points in curve.sites.items():
                _draw_line(axes, points, _site_line(look.get(site)))
            _draw_line(axes, curve.mean, _mean_line())
            axes.autoscale_view()
        panels[0].set(xlim=(0.4, last + 0.6))
        panels[0].set_ylim(bottom=0)
        for axes, curve in zip(panels, curves, strict=False):
            if _sent(curve):
                _draw_megabytes(axes, curve)
            elif sent:
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
        if look:
            lines += [_site_line(look[site]) for site in sites]
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
    words = ["Training loss by round", ", mean over seeds" * over_seeds, "."]
    words += [" Black: mean over the sites, weighted by their training cases; thin: each site."]
    if sent:
        words += [" Above a panel: data, up and down, that one site has exchanged by then (mean "]
        words += ["over sites)."]
    words += [" The loss is measured on the cases that are trained on, so it says nothing about "]
    words += ["new ones."]
    return Drawing(
        group="learning",
        name="learning",
        title="Training loss by round",
        description=f"Line charts, one for each of {len(curves)} strategies, of the loss over the "
        "rounds.",
        caption="".join(words),
        figure=figure,
    )


def _rounds(last: int) -> Locator:
    if last <= EVERY_ROUND:
        return FixedLocator(range(1, last + 1))
    return MaxNLocator(integer=True, min_n_ticks=1, nbins=4)


def _sent(curve: Curve) -> float:
    return max(curve.megabytes.values(), default=0.0)


def _draw_megabytes(axes: Axes, curve: Curve) -> None:
    """The same ticks as below, told in MB, or the last round if it comes before them all."""
    unit, size = ("GB", 1e3) if _sent(curve) >= 1e3 else ("MB", 1.0)
    places = [float(place) for place in axes.get_xticks() if round(place) in curve.megabytes]
    shown = [
        (place, curve.megabytes[round(place)] / size)
        for place in places or [float(max(curve.megabytes))]
    ]
    top = axes.secondary_xaxis("top")
    top.set_xticks([place for place, _ in shown], [f"{value:.3g}" for _, value in shown])
    top.set_xlabel(f"{unit} a site", fontsize=7, labelpad=2, color="#333333")
    top.tick_params(labelsize=7, length=2.5, pad=1.5)


def _mean_line() -> Line2D:
    return Line2D([], [], color="black", lw=1.8, marker="o", ms=3.5)


def _site_line(look: Look | None) -> Line2D:
    if look is None:
        return Line2D([], [], color="#999999", lw=0.6)
    line = look.line(marked=True, width=1)
    line.set_markersize(2.8)
    return line


def _draw_line(axes: Axes, points: Sequence[tuple[int, float]], line: Line2D) -> None:
    line.set_data(*zip(*points, strict=True))
    line.set_markevery(max(1, len(points) // 8))
    axes.add_line(line)
