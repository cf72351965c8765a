"""Line styles that differ in colour, and also in dashes and markers, for readers without colour."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib.lines import Line2D

COLOURS = ["#000000", "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"]
"""The palette of Okabe and Ito (2008), without yellow, which is not visible on white."""

DASHES: list[Any] = [
    "-",
    (0, (5, 1.5)),
    (0, (1, 1)),
    (0, (5, 1.5, 1, 1.5)),
    (0, (9, 2)),
    (0, (3, 1, 1, 1, 1, 1)),
]

MARKERS = "os^Dv*PXphd<>"


class LineStyle(NamedTuple):
    """How one line is drawn; seven colours and six dashes give 42 different pairs."""

    colour: str
    dashes: Any
    marker: str

    def line(self, marked: bool = False, width: float = 1.4) -> Line2D:
        """A line without data, for the legend or to be filled; ``width`` in points."""
        return Line2D(
            [],
            [],
            color=self.colour,
            ls=self.dashes,
            lw=width,
            marker=self.marker if marked else "",
            ms=3.5,
        )


def line_styles(names: Sequence[str], first: str = "") -> dict[str, LineStyle]:
    """A style for every name; ``first`` comes first and is solid black."""
    ordered = sorted(dict.fromkeys(names), key=lambda name: name != first)  # stable
    return {
        name: LineStyle(
            COLOURS[place % len(COLOURS)],
            DASHES[place % len(DASHES)],
            MARKERS[place % len(MARKERS)],
        )
        for place, name in enumerate(ordered)
    }
