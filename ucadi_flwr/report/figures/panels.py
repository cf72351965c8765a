"""Square panels with both axes from 0 to 1, one for each test set, and one legend above them."""

import math
from collections.abc import Mapping, Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from ucadi_flwr.report.comparisons import TestSet
from ucadi_flwr.report.figures.drawing import INCHES_PER_CHARACTER, shorten, tick

_ACROSS = 3
PER_PAGE = 9
"""Panels that fit on A4; further panels are in a further figure."""

_SIDE = 2.3  # inches


def panels(sets: Sequence[TestSet], horizontal: str, vertical: str) -> tuple[Figure, list[Axes]]:
    """A figure with one square panel for each test set, and the diagonal in each.

    Args:
        sets: the test sets.
        horizontal: label of the horizontal axes.
        vertical: label of the vertical axes.
    """
    down = math.ceil(len(sets) / _ACROSS)
    across = math.ceil(len(sets) / down)
    figure = Figure(figsize=(max(3.6, _SIDE * across + 0.5), (_SIDE + 0.3) * down + 0.6))
    figure.set_layout_engine("constrained", h_pad=0.07)
    grid = figure.subplots(down, across, squeeze=False)
    every = list(grid.flat)
    for axes in every[len(sets) :]:
        axes.set_visible(False)
    for index, (axes, test_set) in enumerate(zip(every, sets, strict=False)):
        axes.set_title(f"{shorten(test_set.name)}, n = {test_set.most:,}", loc="left", fontsize=8)
        axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), aspect="equal")
        shares = [0, 0.2, 0.4, 0.6, 0.8, 1]
        axes.set_xticks(shares, [tick(value) for value in shares])
        axes.set_yticks(shares, [tick(value) for value in shares])
        axes.tick_params(
            labelleft=index % across == 0, labelbottom=index + across >= len(sets), length=2.5
        )
        axes.grid(color="#e8e8e8", lw=0.5)
        axes.set_axisbelow(True)
        axes.plot([0, 1], [0, 1], color="#999999", lw=0.6)
    figure.supxlabel(horizontal, fontsize=8)
    figure.supylabel(vertical, fontsize=8)
    return figure, every[: len(sets)]


def legend(figure: Figure, entries: Mapping[str, Artist]) -> None:
    """Put a legend above all panels, in as many columns as fit."""
    names = [shorten(name) for name in entries]
    inches = INCHES_PER_CHARACTER * max(map(len, names)) + 0.75
    columns = max(1, min(len(names), int(figure.get_figwidth() / inches)))
    figure.legend(
        list(entries.values()),
        names,
        loc="outside upper left",
        ncols=columns,
        frameon=False,
        handlelength=3.4,
        columnspacing=1.4,
    )
