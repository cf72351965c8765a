"""Test cases in the plane of t-SNE: by class and, beside it, the same points by site."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ucadi_flwr.report.analysis import Embedding
from ucadi_flwr.report.comparisons import Comparison
from ucadi_flwr.report.figures.drawing import Drawing, shorten, style
from ucadi_flwr.report.figures.lines import Look, looks

SIDE = 2.9  # inches

COLUMNS_OF_LEGEND = 3


def features(comparison: Comparison, classes: Sequence[str]) -> list[Drawing]:
    """A pair of panels a strategy, for those that have a picture."""
    drawn = [one for one in comparison.analysis.embeddings if one.x]
    return [_draw(one, place, classes) for place, one in enumerate(drawn, 1)]


def _draw(found: Embedding, place: int, classes: Sequence[str]) -> Drawing:
    name = f"features-{place}"
    with style(name):
        figure = Figure(figsize=(2 * SIDE, SIDE + 0.55), layout="constrained")
        by_class, by_site = figure.subplots(1, 2)
        _panel(by_class, found, found.label, classes, "by class")
        _panel(by_site, found, found.site, found.sites, "by site")
    n = len(found.x)
    drawn = f"{n:,} test cases" if n == found.of else f"{n:,} of {found.of:,} test cases, drawn"
    return Drawing(
        group="features",
        name=name,
        title=f"Test cases by their features, {found.strategy}",
        description=f"Two scatter plots of the same {n} points, by class and by site; the table "
        "has how far the groups are apart.",
        caption=f"{found.strategy}, seed {found.seed}: {drawn}, by the {found.features:,} features "
        f"that go into the output layer; t-SNE of perplexity {found.perplexity:.3g}. Left and "
        "right are the same points. Near points are alike to the model; how far groups are apart, "
        "how large they are, and the axes mean little.",
        figure=figure,
    )


def _panel(
    axes: Axes, found: Embedding, groups: Sequence[int], names: Sequence[str], title: str
) -> None:
    """Points told apart by marker as well as colour; the rarest group is drawn last."""
    axes.set_title(title, loc="left")
    axes.set(xticks=[], yticks=[], aspect="equal", adjustable="datalim")
    look = dict(enumerate(looks([str(k) for k in range(len(names))]).values()))
    present = sorted(set(groups), key=lambda group: -groups.count(group))
    for group in present:
        points = [(x, y) for x, y, k in zip(found.x, found.y, groups, strict=True) if k == group]
        line = _points(look[group])
        line.set_data(*zip(*points, strict=True))
        axes.add_line(line)
    axes.autoscale_view()
    shown = sorted(present)
    axes.legend(
        [_points(look[group]) for group in shown],
        [shorten(names[group]) for group in shown],
        loc="upper left",
        bbox_to_anchor=(0, -0.01),
        ncols=min(COLUMNS_OF_LEGEND, len(shown)),
        frameon=False,
        handletextpad=0.1,
        columnspacing=1.0,
        borderaxespad=0.2,
    )


def _points(look: Look) -> Line2D:
    """The first look is filled, the others hollow, so that they differ without colour too."""
    return Line2D(
        [],
        [],
        ls="",
        marker=look.marker,
        ms=3.6,
        mec=look.colour,
        mfc="white" if look.colour != "#000000" else look.colour,
        mew=0.8,
    )
