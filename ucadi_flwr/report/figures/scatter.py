"""Test cases in the plane of t-SNE: by class and, in a second panel, the same points by site."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ucadi_flwr.report import formats
from ucadi_flwr.report.comparisons import Comparison
from ucadi_flwr.report.figures.drawing import INCHES_PER_CHARACTER, Drawing, shorten, style
from ucadi_flwr.report.figures.lines import COLOURS, LineStyle, line_styles
from ucadi_flwr.results.analysis import Embedding

_SIDE = 2.9  # inches, of a panel

LABEL = 18
"""Characters of a name in the legends."""

MANY = 100
"""If there are more points than this, they are smaller."""


def feature_plots(comparison: Comparison, classes: Sequence[str]) -> list[Drawing]:
    """Two panels for each strategy whose embedding has a picture.

    Args:
        comparison: the analysis.
        classes: names of the task's classes.
    """
    drawn = [embedding for embedding in comparison.analysis.embeddings if embedding.x]
    return [_draw(embedding, place, classes) for place, embedding in enumerate(drawn, 1)]


def _draw(embedding: Embedding, place: int, classes: Sequence[str]) -> Drawing:
    name, strategy = f"features-{place}", shorten(embedding.strategy, LABEL)
    class_title = f"by class: silhouette {formats.share(embedding.silhouette_class, 2)}"
    site_title = f"by site: silhouette {formats.share(embedding.silhouette_site, 2)}"
    with style(name):
        figure = Figure(figsize=(2 * _SIDE + 0.3, _SIDE + 0.9))
        by_class, by_site = figure.subplots(1, 2)
        figure.subplots_adjust(left=0, right=1, top=1, bottom=0.9 / (_SIDE + 0.9), wspace=0.1)
        _panel(by_class, embedding, embedding.label, classes, f"{strategy}, {class_title}")
        _panel(by_site, embedding, embedding.site, embedding.sites, f"{strategy}, {site_title}")
    n = len(embedding.x)
    drawn = f" (drawn at random from {embedding.of:,})" if n < embedding.of else ""
    return Drawing(
        group="features",
        name=name,
        title=f"Test cases by their features, {embedding.strategy}",
        description=f"Two scatter plots of the same {n} points, by class and by site; the table "
        "below shows how well the groups are separated.",
        caption=f"{embedding.strategy}, seed {embedding.seed}: {n:,} test cases{drawn}, placed by "
        f"the {embedding.features:,} features that are the input of the output layer; t-SNE with "
        f"perplexity {embedding.perplexity:.3g}. Left and right show the same points. Cases whose "
        "points are close have similar features. The distances between groups, the sizes of "
        "groups and the axes mean little: two models with equal silhouettes can give very "
        "different pictures.",
        figure=figure,
    )


def _panel(
    axes: Axes, embedding: Embedding, groups: Sequence[int], names: Sequence[str], title: str
) -> None:
    """Draw each group with its own colour and marker; the rarest group is drawn last, on top."""
    axes.set_title(title, loc="left", fontsize=8)
    middle = [(max(values) + min(values)) / 2 for values in (embedding.x, embedding.y)]
    half = max(max(values) - min(values) for values in (embedding.x, embedding.y)) * 0.54
    limits = [(centre - half, centre + half) for centre in middle]
    axes.set(xlim=limits[0], ylim=limits[1], xticks=[], yticks=[], aspect="equal")
    axes.spines[:].set(visible=True, color="#bbbbbb")
    styles = list(line_styles([str(place) for place in range(len(names))]).values())
    size = 3.6 if len(groups) <= MANY else 2.8
    present = sorted(set(groups), key=lambda group: -list(groups).count(group))
    points = list(zip(embedding.x, embedding.y, groups, strict=True))
    for group in present:
        of_group = [(x, y) for x, y, k in points if k == group]
        line = _points(styles[group], size)
        line.set_data(*zip(*of_group, strict=True))
        axes.add_line(line)
    shown = sorted(present)
    labels = [shorten(names[group], LABEL) for group in shown]
    across = int(_SIDE / (INCHES_PER_CHARACTER * max(map(len, labels)) + 0.25))
    axes.legend(
        [_points(styles[group], 3.6) for group in shown],
        labels,
        loc="upper left",
        bbox_to_anchor=(0, 0),
        ncols=max(1, min(across, len(shown))),
        frameon=False,
        handletextpad=0,
        columnspacing=0.6,
        borderpad=0.2,
        borderaxespad=0.2,
    )


def _points(line_style: LineStyle, size: float) -> Line2D:
    """Points without data: filled in the first style, hollow in the others, to differ in grey."""
    edge, marker = line_style.colour, line_style.marker
    face = edge if edge == COLOURS[0] else "white"
    return Line2D([], [], ls="", marker=marker, ms=size, mec=edge, mfc=face, mew=0.7)
