"""Forest plots: every difference between two strategies, with its interval, by test set."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, groupby
from statistics import median

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.report import formats
from ucadi_flwr.report.comparisons import Comparison, name_of
from ucadi_flwr.report.details import MEASURE_NAMES
from ucadi_flwr.report.figures.drawing import (
    INCHES_PER_CHARACTER,
    Drawing,
    in_parts,
    shorten,
    style,
    tick,
)
from ucadi_flwr.report.verdicts import verdict
from ucadi_flwr.results.analysis import Difference, Estimate, Measure

ROWS = 42
"""Rows of a figure that fit on A4; further rows are in a further figure."""

ROW_HEIGHT = 0.2  # inches
PLOT_WIDTH = 2.5  # inches
LABEL_CHARACTERS = 34

CUT = 8.0
"""An interval is cut, with an arrow, where it is farther from zero than this many times the median
of the farther ends of all intervals, unless an estimate is farther out."""

GAP = 0.45
"""Space between two test sets, in rows."""


@dataclass(frozen=True)
class ForestRow:
    """A row of the plot: a heading (without a difference) or a difference."""

    label: str
    difference: Difference | None = None


def forest_plots(comparison: Comparison) -> list[Drawing]:
    """One figure for each measure, in parts if it is long; none without a difference."""
    return [
        drawing
        for measure in MEASURE_NAMES
        for drawing in _of_measure(comparison, comparison.differences(measure), measure)
    ]


def _of_measure(
    comparison: Comparison, differences: Sequence[Difference], measure: Measure
) -> list[Drawing]:
    defined = [d for d in differences if d.difference.mean is not None]
    if not defined:
        return []
    to_reference = all(d.b == comparison.reference for d in defined)
    limit = _limit(defined)

    def draw(name: str, pages: Sequence[list[ForestRow]], part: str) -> Drawing:
        return _draw(comparison, name, pages[0], part, measure, to_reference, limit)

    pages = list(_pages(_groups(comparison, defined, to_reference)))
    return in_parts(f"forest-{measure}", pages, 1, draw)


def _groups(
    comparison: Comparison, differences: Sequence[Difference], to_reference: bool
) -> Iterator[list[ForestRow]]:
    """For each test set, a heading and its differences."""
    sets = {test_set.site: test_set for test_set in comparison.sets}
    for site, group in groupby(differences, key=lambda d: d.tested_at):
        test_set = sets.get(site)
        heading = shorten(name_of(site)) + (f", {test_set.cases}" if test_set else "")
        yield [
            ForestRow(heading),
            *(ForestRow(_label(d, to_reference), d) for d in group),
        ]


def _label(difference: Difference, to_reference: bool) -> str:
    if to_reference:
        return shorten(difference.a, LABEL_CHARACTERS)
    half = LABEL_CHARACTERS // 2 - 1
    return f"{shorten(difference.a, half)} {formats.MINUS} {shorten(difference.b, half)}"


def _pages(groups: Iterator[list[ForestRow]]) -> Iterator[list[ForestRow]]:
    """As many whole groups on a page as fit; a group that is longer than a page is divided."""
    page: list[ForestRow] = []
    for group in groups:
        if page and len(page) + len(group) > ROWS:
            yield page
            page = []
        heading, rest = group[0], group[1:]
        while len(rest) > ROWS - 1:
            yield [heading, *rest[: ROWS - 1]]
            rest = rest[ROWS - 1 :]
        page += [heading, *rest]
    yield page


def _limit(differences: Sequence[Difference]) -> float:
    """The end of the horizontal axis, on both sides of zero."""
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
    rows: Sequence[ForestRow],
    part: str,
    measure: Measure,
    to_reference: bool,
    limit: float,
) -> Drawing:
    reference, measure_name = comparison.reference, MEASURE_NAMES[measure]
    level = comparison.analysis.level
    cut = False
    with style(name):
        heights = _heights(rows)
        height = ROW_HEIGHT * (heights[-1] + 1)
        figure = Figure(figsize=(PLOT_WIDTH, height))
        axes = figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(-limit, limit), ylim=(heights[-1] + 0.6, -0.6), yticks=[])
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(nbins=5, symmetric=True))
        axes.xaxis.set_major_formatter(FuncFormatter(tick))
        axes.axvline(0, color="#555555", lw=0.8)
        left = -INCHES_PER_CHARACTER * max(len(row.label) for row in rows) - 0.3
        right = PLOT_WIDTH + 0.15
        _write(axes, left, -1.1, "strategy" if to_reference else "strategies", weight="bold")
        _write(axes, right, -1.1, f"difference ({comparison.percent} CI)", weight="bold")
        _write(axes, right + 1.85, -1.1, "corrected p", weight="bold")
        for y, row in zip(heights, rows, strict=True):
            difference = row.difference
            if difference is None:
                _write(axes, left, y, row.label, weight="bold")
                continue
            _write(axes, left + 0.12, y, row.label)
            estimate = difference.difference
            _write(axes, right, y, formats.signed(estimate.mean) + _ends(estimate))
            _write(axes, right + 1.85, y, formats.p_value(difference.p_holm))
            shown = verdict(difference, level) != 0
            cut |= _draw_interval(axes, y, difference, limit, shown)
        label = f" from {shorten(reference)}" if to_reference else ""
        axes.set_xlabel(f"difference in {measure_name}{label}", labelpad=4)
    title = f"Differences in {measure_name}" + (f" from {reference}" if to_reference else "")
    return Drawing(
        group="forest",
        name=name,
        title=title,
        description=f"Forest plot of {sum(row.difference is not None for row in rows)} "
        f"differences in {measure_name} with their intervals; the table of all differences has "
        "the values.",
        caption=f"{title} on exactly the same cases, with {comparison.percent} confidence "
        "intervals (CI). Filled mark: a difference was shown. Hollow mark: no difference was "
        f"shown. p is corrected (Holm) for all differences in {measure_name}."
        f"{' Arrow: the interval is longer than drawn.' if cut else ''}{part}",
        figure=figure,
    )


def _heights(rows: Sequence[ForestRow]) -> list[float]:
    """The vertical position of each row, with a gap before a heading."""
    gaps = accumulate(GAP * (row.difference is None) for row in rows)
    return [place + gap - GAP for place, gap in enumerate(gaps)]


def _ends(estimate: Estimate) -> str:
    """The interval as text after its mean; empty if neither end is known."""
    if estimate.low is None and estimate.high is None:
        return ""
    return f" ({formats.share(estimate.low)} to {formats.share(estimate.high)})"


def _draw_interval(axes: Axes, y: float, difference: Difference, limit: float, shown: bool) -> bool:
    """Draw the mean and its interval; return whether the interval was cut."""
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
        all_sites = difference.tested_at == ALL_SITES
        axes.plot(
            [mean],
            [y],
            marker="D" if all_sites else "s",
            ms=5.5 if all_sites else 4.8,
            mfc="black" if shown else "white",
            mec="black",
            mew=1,
            ls="",
        )
    return drawn != [low, high]


def _write(axes: Axes, x: float, y: float, text: str, weight: str = "normal") -> None:
    """Write text at ``x`` inches from the left edge of the axes, at the height of row ``y``."""
    transform = axes.get_yaxis_transform()  # x in widths of the axes, y in rows
    axes.text(x / PLOT_WIDTH, y, text, transform=transform, va="center_baseline", fontweight=weight)
