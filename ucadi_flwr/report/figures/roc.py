"""ROC curves with their bands: one panel for each test set."""

from collections.abc import Mapping, Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.report.comparisons import Comparison, TestSet
from ucadi_flwr.report.figures.drawing import Drawing, in_parts, shorten, style
from ucadi_flwr.report.figures.lines import LineStyle, line_styles
from ucadi_flwr.report.figures.panels import PER_PAGE, legend, panels
from ucadi_flwr.results.analysis import Estimate, ReaderStudy, Roc

BANDS = 3
"""With more strategies than this, a panel has only the band of the reference."""

NAMED_READERS = 7
"""More readers than this share one entry of the legend."""

READER_MARKERS = "o^sDvPXphd<>"


def roc_curves(comparison: Comparison) -> list[Drawing]:
    """Sensitivity over the false-positive rate; no figure if no test has both kinds of cases."""
    curves = {
        (tested.strategy, tested.tested_at): tested.roc
        for strategy in comparison.strategies
        for tested in comparison.tests(strategy)
        if tested.roc is not None and tested.roc.fpr
    }
    sets = [s for s in comparison.sets if any(site == s.site for _, site in curves)]
    drawn = [s for s in comparison.strategies if any(strategy == s for strategy, _ in curves)]
    styles = line_styles(drawn, comparison.reference)

    def draw(name: str, sets: Sequence[TestSet], part: str) -> Drawing:
        return _draw(comparison, name, sets, part, curves, styles)

    return in_parts("roc", sets, PER_PAGE, draw) if sets else []


def _draw(
    comparison: Comparison,
    name: str,
    sets: Sequence[TestSet],
    part: str,
    curves: Mapping[tuple[str, str], Roc],
    styles: Mapping[str, LineStyle],
) -> Drawing:
    banded = [s for s in styles if len(styles) <= BANDS or s == comparison.reference]
    with style(name):
        figure, every = panels(sets, "false-positive rate (1 − specificity)", "sensitivity")
        entries: dict[str, Artist] = {strategy: _line(styles, strategy) for strategy in styles}
        has_points = False
        for axes, test_set in zip(every, sets, strict=True):
            # The reference has the first style and is drawn last, on top.
            for strategy in reversed(list(styles)):
                curve = curves.get((strategy, test_set.site))
                if curve is not None:
                    _draw_curve(axes, curve, _line(styles, strategy), strategy in banded)
            if test_set.site == ALL_SITES or len(comparison.sets) == 1:
                has_points = _draw_readers(axes, comparison.analysis.readers)
        legend(figure, entries)
    readers = " Hollow points: readers. Star: the decisions of a model." if has_points else ""
    bands = _describe_bands(comparison, len(banded), len(styles))
    return Drawing(
        group="roc",
        name=name,
        title="ROC curves",
        description=f"Sensitivity over the false-positive rate: {len(sets)} panels, one for each "
        f"test set, with one line for each of {len(styles)} strategies. The tables have the areas "
        "under the curves.",
        caption="ROC curves of the probability of the positive class, one panel for each test "
        f"set. Diagonal: chance. Filled marks only identify the lines.{readers}{bands}{part}",
        figure=figure,
    )


def _describe_bands(comparison: Comparison, banded: int, drawn: int) -> str:
    if banded == drawn:
        return f" Bands: pointwise {comparison.percent} confidence intervals."
    if banded:
        return (
            f" Band: the pointwise {comparison.percent} confidence interval of "
            f"{comparison.reference}; with more than {BANDS} strategies, only the reference has "
            "a band."
        )
    return ""


def _line(styles: Mapping[str, LineStyle], strategy: str) -> Line2D:
    """A line with few markers, at other places for each strategy; the first line has none."""
    place = list(styles).index(strategy)
    line = styles[strategy].line(marked=place > 0)
    line.set_markevery((0.03 + 0.045 * place, 0.45))  # in diagonals of the axes
    return line


def _draw_curve(axes: Axes, curve: Roc, line: Line2D, banded: bool) -> None:
    line.set_data(curve.fpr, curve.tpr)
    axes.add_line(line)
    ends = [
        (x, low, high)
        for x, low, high in zip(curve.fpr, curve.low, curve.high, strict=False)
        if low is not None and high is not None
    ]
    if banded and ends:
        fpr, low, high = zip(*ends, strict=True)
        axes.fill_between(fpr, low, high, color=line.get_color(), alpha=0.12, lw=0)


def _draw_readers(axes: Axes, studies: Sequence[ReaderStudy]) -> bool:
    """Draw each reader as a hollow point, the model of the first study as a star.

    Return whether anything was drawn.
    """
    if not studies:
        return False
    study = studies[0]
    points: dict[str, Artist | None] = {}
    for index, reader in enumerate(study.readers):
        marker = READER_MARKERS[index % len(READER_MARKERS)]
        name = reader.reader if len(study.readers) <= NAMED_READERS else "readers"
        points[name] = _point(axes, reader.specificity, reader.sensitivity, marker)
    name = f"{study.strategy}, decisions"
    points[name] = _point(axes, study.model_specificity, study.model_sensitivity, "*")
    drawn = {name: point for name, point in points.items() if point is not None}
    if drawn:
        names = [shorten(name) for name in drawn]
        axes.legend(list(drawn.values()), names, loc="lower right", fontsize=7, framealpha=1)
    return bool(drawn)


def _point(axes: Axes, specificity: Estimate, sensitivity: Estimate, marker: str) -> Artist | None:
    if specificity.mean is None or sensitivity.mean is None:
        return None
    face, size = ("black", 70) if marker == "*" else ("white", 26)
    point: Artist = axes.scatter(
        [1 - specificity.mean],
        [sensitivity.mean],
        s=size,
        marker=marker,
        facecolor=face,
        edgecolor="black",
        lw=0.9,
        zorder=5,
    )
    return point
