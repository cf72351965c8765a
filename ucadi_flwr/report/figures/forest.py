"""Forest plots: every difference between two strategies with its interval, by test set."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from statistics import median
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.report import formats
from ucadi_flwr.report.comparisons import Comparison, name_of
from ucadi_flwr.report.details import MEASURES
from ucadi_flwr.report.figures.drawing import (
    INCHES_A_CHARACTER,
    Drawing,
    in_parts,
    shorten,
    style,
    tick,
)
from ucadi_flwr.report.verdicts import verdict
from ucadi_flwr.results.analysis import Difference, Estimate

Measure = Literal["auc", "accuracy"]

LINES = 42
"""Of a figure that fits on A4; more continue in a further one."""

LINE_HEIGHT = 0.2  # inches
PLOT_WIDTH = 2.5
LABEL_CHARACTERS = 34

CUT = 8.0
"""Intervals are cut, with an arrow, at so many times the median of their farther ends, unless an
estimate lies farther out."""


GAP = 0.45
"""Lines between two test sets."""


@dataclass(frozen=True)
class Line:
    """A heading (no difference) or a difference."""

    label: str
    difference: Difference | None = None


def forest_plots(comparison: Comparison) -> list[Drawing]:
    """One figure a measure, in parts if it is long; none without a difference."""
    return [
        drawing
        for measure in MEASURES
        for drawing in _of_measure(comparison, comparison.differences(measure), measure)
    ]


def _of_measure(
    comparison: Comparison, differences: Sequence[Difference], measure: Measure
) -> list[Drawing]:
    known = [d for d in differences if d.difference.mean is not None]
    if not known:
        return []
    only = all(d.b == comparison.reference for d in known)
    limit = _limit(known)

    def draw(name: str, pages: Sequence[list[Line]], words: str) -> Drawing:
        return _draw(comparison, name, pages[0], words, measure, only, limit)

    pages = list(_pages(_groups(comparison, known, only)))
    return in_parts(f"forest-{measure}", pages, 1, draw)


def _groups(
    comparison: Comparison, differences: Sequence[Difference], only: bool
) -> Iterator[list[Line]]:
    sets = {test_set.site: test_set for test_set in comparison.sets}
    for site, group in groupby(differences, key=lambda d: d.tested_at):
        found = sets.get(site)
        heading = shorten(name_of(site)) + (f", {found.cases}" if found else "")
        yield [
            Line(heading),
            *(Line(_label(d, only), d) for d in group),
        ]


def _label(difference: Difference, only: bool) -> str:
    if only:
        return shorten(difference.a, LABEL_CHARACTERS)
    half = LABEL_CHARACTERS // 2 - 1
    return f"{shorten(difference.a, half)} {formats.MINUS} {shorten(difference.b, half)}"


def _pages(groups: Iterator[list[Line]]) -> Iterator[list[Line]]:
    """Whole groups on a page as long as they fit; a longer one is divided."""
    page: list[Line] = []
    for group in groups:
        if page and len(page) + len(group) > LINES:
            yield page
            page = []
        heading, rest = group[0], group[1:]
        while len(rest) > LINES - 1:
            yield [heading, *rest[: LINES - 1]]
            rest = rest[LINES - 1 :]
        page += [heading, *rest]
    yield page


def _limit(differences: Sequence[Difference]) -> float:
    ends = [
        max(abs(end) for end in (d.difference.mean, d.difference.low, d.difference.high) if end)
        for d in differences
        if d.difference.mean or d.difference.low or d.difference.high
    ]
    if not ends:
        return 0.05
    farthest = max(abs(d.difference.mean or 0.0) for d in differences)
    return min(max(ends), max(CUT * median(ends), farthest)) * 1.06


def _draw(
    comparison: Comparison,
    name: str,
    lines: Sequence[Line],
    words: str,
    measure: Measure,
    only: bool,
    limit: float,
) -> Drawing:
    what = MEASURES[measure]
    level = comparison.analysis.level
    cut = False
    with style(name):
        heights = _heights(lines)
        height = LINE_HEIGHT * (heights[-1] + 1)
        figure = Figure(figsize=(PLOT_WIDTH, height))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(-limit, limit), ylim=(heights[-1] + 0.6, -0.6), yticks=[])
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5, symmetric=True))
        axes.xaxis.set_major_formatter(FuncFormatter(tick))
        axes.axvline(0, color="#555555", lw=0.8)
        left = -INCHES_A_CHARACTER * max(len(line.label) for line in lines) - 0.3
        right = PLOT_WIDTH + 0.15
        _write(axes, left, -1.1, "strategy" if only else "strategies", weight="bold")
        _write(axes, right, -1.1, f"difference ({comparison.percent} CI)", weight="bold")
        _write(axes, right + 1.85, -1.1, "p, corrected", weight="bold")
        for y, line in zip(heights, lines, strict=True):
            difference = line.difference
            if difference is None:
                _write(axes, left, y, line.label, weight="bold")
                continue
            _write(axes, left + 0.12, y, line.label)
            estimate = difference.difference
            _write(axes, right, y, formats.signed(estimate.mean) + _ends(estimate))
            _write(axes, right + 1.85, y, formats.p_value(difference.p_holm))
            shown = verdict(difference, level) != 0
            cut |= _draw_interval(axes, y, difference, limit, shown)
        of = f"{what} less that of {shorten(comparison.reference)}"
        axes.set_xlabel(of if only else f"difference in {what}", labelpad=4)
    against = f" from {comparison.reference}" if only else ""
    return Drawing(
        group="forest",
        name=name,
        title=f"Differences in {what}{against}",
        description=f"Forest plot of {sum(line.difference is not None for line in lines)} "
        f"differences in {what} with their intervals; the table of all differences has the values.",
        caption=f"Differences in {what}{against} on exactly the same cases, with "
        f"{comparison.percent} intervals. Filled: a difference was shown; hollow: none was. "
        f"p is corrected (Holm) over all differences in {what}."
        f"{' Arrows: the interval goes on.' if cut else ''}{words}",
        figure=figure,
    )


def _heights(lines: Sequence[Line]) -> list[float]:
    """Where each line stands: one below the other, with a gap before a heading."""
    gaps = accumulate(GAP * (line.difference is None) for line in lines)
    return [place + gap - GAP for place, gap in enumerate(gaps)]


def _ends(estimate: Estimate) -> str:
    """The interval behind its mean; nothing if neither end is known."""
    if estimate.low is None and estimate.high is None:
        return ""
    return f" ({formats.share(estimate.low)} to {formats.share(estimate.high)})"


def _draw_interval(axes: Axes, y: float, difference: Difference, limit: float, shown: bool) -> bool:
    """The mean and its interval; whether the interval was cut."""
    estimate = difference.difference
    mean = estimate.mean or 0.0
    low = mean if estimate.low is None else estimate.low
    high = mean if estimate.high is None else estimate.high
    drawn = [min(max(end, -limit), limit) for end in (low, high)]
    axes.plot(drawn, [y, y], color="black", lw=1.1, solid_capstyle="butt")
    for end, at, marker in ((low, drawn[0], "<"), (high, drawn[1], ">")):
        if end != at:
            axes.plot([at], [y], marker=marker, ms=4, color="black", ls="")
    if abs(mean) <= limit:
        everyone = difference.tested_at == ALL_SITES
        axes.plot(
            [mean],
            [y],
            marker="D" if everyone else "s",
            ms=5.5 if everyone else 4.8,
            mfc="black" if shown else "white",
            mec="black",
            mew=1,
            ls="",
        )
    return drawn != [low, high]


def _write(axes: Axes, x: float, y: float, text: str, weight: str = "normal") -> None:
    """Text at ``x`` inches from the axes' left edge and the height of line ``y``."""
    place = axes.get_yaxis_transform()  # x in widths of the axes, y in lines
    axes.text(x / PLOT_WIDTH, y, text, transform=place, va="center_baseline", fontweight=weight)
