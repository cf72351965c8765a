"""Test cases in the plane of t-SNE: by class and, beside it, the same points by site."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ucadi_flwr.report import formats
from ucadi_flwr.report.comparisons import Comparison
from ucadi_flwr.report.figures.drawing import INCHES_A_CHARACTER, Drawing, shorten, style
from ucadi_flwr.report.figures.lines import COLOURS, Look, looks
from ucadi_flwr.results.analysis import Embedding

SIDE = 2.9  # inches of a panel

LABEL = 18
"""Characters of a name in the legends."""

MANY = 100
"""More points than this are smaller."""


def features(comparison: Comparison, classes: Sequence[str]) -> list[Drawing]:
    """A pair of panels a strategy, for those that have a picture."""
    drawn = [one for one in comparison.analysis.embeddings if one.x]
    return [_draw(one, place, classes) for place, one in enumerate(drawn, 1)]


def _draw(found: Embedding, place: int, classes: Sequence[str]) -> Drawing:
    name, who = f"features-{place}", shorten(found.strategy, LABEL)
    shares = [formats.share(one, 2) for one in (found.silhouette_class, found.silhouette_site)]
    with style(name):
        figure = Figure(figsize=(2 * SIDE + 0.3, SIDE + 0.9))
        by_class, by_site = figure.subplots(1, 2)
        figure.subplots_adjust(left=0, right=1, top=1, bottom=0.9 / (SIDE + 0.9), wspace=0.1)
        _panel(by_class, found, found.label, classes, f"{who}, by class: silhouette {shares[0]}")
        _panel(by_site, found, found.site, found.sites, f"{who}, by site: silhouette {shares[1]}")
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
        "how large they are, and the axes mean little; two models of equal silhouettes may give "
        "very different pictures.",
        figure=figure,
    )


def _panel(
    axes: Axes, found: Embedding, groups: Sequence[int], names: Sequence[str], title: str
) -> None:
    """Points told apart by marker as well as colour; the rarest group is drawn last."""
    axes.set_title(title, loc="left", fontsize=8)
    middle = [(max(values) + min(values)) / 2 for values in (found.x, found.y)]
    half = max(max(values) - min(values) for values in (found.x, found.y)) * 0.54
    limits = [(centre - half, centre + half) for centre in middle]
    axes.set(xlim=limits[0], ylim=limits[1], xticks=[], yticks=[], aspect="equal")
    axes.spines[:].set(visible=True, color="#bbbbbb")
    look = list(looks([str(place) for place in range(len(names))]).values())
    size = 3.6 if len(groups) <= MANY else 2.8
    present = sorted(set(groups), key=lambda group: -list(groups).count(group))
    for group in present:
        points = [(x, y) for x, y, k in zip(found.x, found.y, groups, strict=True) if k == group]
        line = _points(look[group], size)
        line.set_data(*zip(*points, strict=True))
        axes.add_line(line)
    shown = sorted(present)
    words = [shorten(names[group], LABEL) for group in shown]
    across = int(SIDE / (INCHES_A_CHARACTER * max(map(len, words)) + 0.25))
    axes.legend(
        [_points(look[group], 3.6) for group in shown],
        words,
        loc="upper left",
        bbox_to_anchor=(0, 0),
        ncols=max(1, min(across, len(shown))),
        frameon=False,
        handletextpad=0,
        columnspacing=0.6,
        borderpad=0.2,
        borderaxespad=0.2,
    )


def _points(look: Look, size: float) -> Line2D:
    """The first look is filled, the others hollow, so that they differ without colour too."""
    first = look.colour == COLOURS[0]
    face = look.colour if first else "white"
    return Line2D([], [], ls="", marker=look.marker, ms=size, mec=look.colour, mfc=face, mew=0.7)
