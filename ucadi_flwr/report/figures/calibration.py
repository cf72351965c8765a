"""Reliability curves: what was observed where the model said how probable it is."""

from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes

from ucadi_flwr.report.comparisons import Comparison, TestSet
from ucadi_flwr.report.figures.drawing import Drawing, in_parts, style
from ucadi_flwr.report.figures.lines import Look, looks
from ucadi_flwr.report.figures.panels import PER_PAGE, legend, panels
from ucadi_flwr.results.analysis import CalibrationBin

SMALLEST, LARGEST = 5.0, 60.0
"""Areas of marks (points²)."""


def reliability_curves(comparison: Comparison) -> list[Drawing]:
    """One panel a test set; none if no test has bins."""
    found = {
        (tested.strategy, tested.tested_at): [b for b in tested.calibration if b.cases]
        for strategy in comparison.strategies
        for tested in comparison.tests(strategy)
        if any(b.cases for b in tested.calibration)
    }
    sets = [s for s in comparison.sets if any(site == s.site for _, site in found)]
    drawn = [s for s in comparison.strategies if any(strategy == s for strategy, _ in found)]
    over_seeds = ", of all seeds" if any(len(t.seeds) > 1 for t in comparison.all_tests()) else ""
    look = looks(drawn, comparison.reference)

    def draw(name: str, part: Sequence[TestSet], words: str) -> Drawing:
        with style(name):
            figure, every = panels(part, "mean predicted probability", "observed fraction")
            for axes, test_set in zip(every, part, strict=True):
                for strategy in reversed(look):
                    bins = found.get((strategy, test_set.site))
                    if bins is None:
                        continue
                    _draw_bins(axes, bins, look[strategy])
            entries: dict[str, Artist] = {
                strategy: look[strategy].line(marked=True, width=1.1) for strategy in look
            }
            legend(figure, entries)
        return Drawing(
            group="calibration",
            name=name,
            title="Reliability curves",
            description="Observed fraction of positive cases over the mean predicted probability: "
            f"{len(part)} panels, one a test set, with one line for each of {len(look)} "
            "strategies. The table below has the errors.",
            caption="Reliability: cases in bins by the predicted probability of the positive "
            f"class{over_seeds}; the fraction of them that is positive. On the diagonal, the "
            "probability is what it says. The larger a mark, the more cases; bins with few swing "
            f"widely.{words}",
            figure=figure,
        )

    return in_parts("calibration", sets, PER_PAGE, draw) if sets else []


def _draw_bins(axes: Axes, bins: Sequence[CalibrationBin], look: Look) -> None:
    """A thin line, and marks whose area grows with the cases, from a least size."""
    scores, fractions = [b.score for b in bins], [b.fraction for b in bins]
    line = look.line(width=0.8)
    line.set_data(scores, fractions)
    axes.add_line(line)
    most = max(b.cases for b in bins)
    areas = [SMALLEST + (LARGEST - SMALLEST) * b.cases / most for b in bins]
    axes.scatter(scores, fractions, s=areas, marker=look.marker, color=look.colour, lw=0, zorder=3)
