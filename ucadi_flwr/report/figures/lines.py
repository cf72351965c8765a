"""Lines that are told apart by colour, and by dashes and markers without it."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib.lines import Line2D

COLOURS = ["#000000", "#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"]
"""Okabe and Ito's, without yellow, which does not show on white."""

DASHES: list[Any] = [
    "-",
    (0, (5, 1.5)),
    (0, (1, 1)),
    (0, (5, 1.5, 1, 1.5)),
    (0, (9, 2)),
    (0, (3, 1, 1, 1, 1, 1)),
]

MARKERS = "os^Dv*PXphd<>"


class Look(NamedTuple):
    """How one line is drawn; the seven colours and six dashes make 42 pairs."""

    colour: str
    dashes: Any
    marker: str

    def line(self, marked: bool = False, width: float = 1.4) -> Line2D:
        """A line for the legend, or to be given data."""
        return Line2D(
            [],
            [],
            color=self.colour,
            ls=self.dashes,
            lw=width,
            marker=self.marker if marked else "",
            ms=3.5,
        )


def looks(names: Sequence[str], first: str = "") -> dict[str, Look]:
    """A look for every name; ``first`` has the first, solid black."""
    ordered = sorted(dict.fromkeys(names), key=lambda name: name != first)  # stable
    return {
        name: Look(
            COLOURS[place % len(COLOURS)],
            DASHES[place % len(DASHES)],
            MARKERS[place % len(MARKERS)],
        )
        for place, name in enumerate(ordered)
    }
