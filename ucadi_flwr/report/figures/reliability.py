"""Reliability curves: the observed fraction of positives over the predicted probability."""

from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes

from ucadi_flwr.report.comparisons import Comparison, TestSet
from ucadi_flwr.report.figures.drawing import Drawing, in_parts, style
from ucadi_flwr.report.figures.lines import LineStyle, line_styles
from ucadi_flwr.report.figures.panels import PER_PAGE, legend, panels
from ucadi_flwr.results.analysis import CalibrationBin

SMALLEST, LARGEST = 5.0, 60.0
"""Areas of the smallest and largest marks, in points²."""


def reliability_curves(comparison: Comparison) -> list[Drawing]:
    """One panel for each test set; no figure if no test has bins."""
    bins_of = {
        (tested.strategy, tested.tested_at): [b for b in tested.calibration if b.cases]
        for strategy in comparison.strategies
        for tested in comparison.tests(strategy)
        if any(b.cases for b in tested.calibration)
    }
    sets = [s for s in comparison.sets if any(site == s.site for _, site in bins_of)]
    drawn = [s for s in comparison.strategies if any(strategy == s for strategy, _ in bins_of)]
    several = any(len(t.seeds) > 1 for t in comparison.all_tests())
    over_seeds = ", all seeds together" if several else ""
    styles = line_styles(drawn, comparison.reference)

    def draw(name: str, sets: Sequence[TestSet], part: str) -> Drawing:
        with style(name):
            figure, every = panels(sets, "mean predicted probability", "observed fraction")
            for axes, test_set in zip(every, sets, strict=True):
                for strategy in reversed(styles):
                    bins = bins_of.get((strategy, test_set.site))
                    if bins is not None:
                        _draw_bins(axes, bins, styles[strategy])
            entries: dict[str, Artist] = {
                strategy: styles[strategy].line(marked=True, width=1.1) for strategy in styles
            }
            legend(figure, entries)
        return Drawing(
            group="calibration",
            name=name,
            title="Reliability curves",
            description="Observed fraction of positive cases over the mean predicted probability: "
            f"{len(sets)} panels, one for each test set, with one line for each of {len(styles)} "
            "strategies. The table below has the errors.",
            caption="Reliability: the cases are divided into bins by the predicted probability "
            f"of the positive class{over_seeds}; shown is the fraction of each bin that is "
            "positive. On the diagonal, the observed fraction equals the predicted probability. "
            "A larger mark has more cases; the fraction of a bin with few cases is imprecise."
            f"{part}",
            figure=figure,
        )

    return in_parts("calibration", sets, PER_PAGE, draw) if sets else []


def _draw_bins(axes: Axes, bins: Sequence[CalibrationBin], line_style: LineStyle) -> None:
    """Draw a thin line, and marks whose area grows with the number of cases."""
    scores, fractions = [b.score for b in bins], [b.fraction for b in bins]
    line = line_style.line(width=0.8)
    line.set_data(scores, fractions)
    axes.add_line(line)
    most = max(b.cases for b in bins)
    areas = [SMALLEST + (LARGEST - SMALLEST) * b.cases / most for b in bins]
    marker, colour = line_style.marker, line_style.colour
    axes.scatter(scores, fractions, s=areas, marker=marker, color=colour, lw=0, zorder=3)
