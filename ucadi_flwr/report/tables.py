"""Results → the rows of the report's tables and the points of its loss curves, unformatted.

Losses, costs and folds are of runs that finished; a run that failed is only named on the page.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean, stdev
from typing import Literal

from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.results.experiment import Cell, RecipeRef, Results

SPLIT_NAMES: tuple[Literal["train", "validation", "test"], ...] = ("train", "validation", "test")


@dataclass(frozen=True)
class Absence:
    """A site that was left out, for one reason, of one or more rounds of a run.

    ``rounds`` is text, "1–3, 7".
    """

    strategy: str
    seed: int
    site: str
    reason: str
    rounds: str


@dataclass(frozen=True)
class FoldRow:
    """One cross-validation: fold → the score of its model, and whether that model was chosen."""

    strategy: str
    seed: int
    trained_at: str
    scores: dict[int, tuple[float, bool]]

    @property
    def mean(self) -> float:
        """The mean over folds."""
        return fmean(score for score, _ in self.scores.values())

    @property
    def sd(self) -> float | None:
        """The sample standard deviation (n − 1) over folds; None with one fold."""
        values = [score for score, _ in self.scores.values()]
        return stdev(values) if len(values) > 1 else None


@dataclass(frozen=True)
class CaseCounts:
    """How many cases a site has in one part: by class, in the task's order, and in total."""

    part: str
    by_class: list[int]
    total: int


@dataclass(frozen=True)
class LossCurve:
    """Training loss of one strategy by round: (round, mean over seeds), for all sites and for each.

    ``megabytes``: round → MB that one site has sent and received by the end of that round, mean
    over sites and seeds.
    """

    strategy: str
    mean: list[tuple[int, float]]
    sites: dict[str, list[tuple[int, float]]]
    megabytes: dict[int, float]


def finished_cells(results: Results) -> dict[RecipeRef, list[Cell]]:
    """Strategy → its cells without an error, in the order of the document."""
    groups: dict[RecipeRef, list[Cell]] = {cell.strategy: [] for cell in results.cells}
    for cell in results.cells:
        if cell.error is None:
            groups[cell.strategy].append(cell)
    return groups


def absences(results: Results) -> list[Absence]:
    """Which sites were left out of which rounds, and why; runs that failed are included."""
    rounds: dict[tuple[str, int, str, str], set[int]] = defaultdict(set)
    for cell in results.cells:
        for record in cell.rounds:
            for failure in record.failures:
                key = (cell.strategy.name, cell.seed, failure.site, failure.reason)
                rounds[key].add(record.round)
    return [Absence(*key, spans(numbers)) for key, numbers in rounds.items()]


def spans(numbers: Iterable[int]) -> str:
    """Whole numbers as text, consecutive ones joined.

    >>> spans({1, 2, 3, 7})
    '1–3, 7'
    """
    runs = []
    for _, run in groupby(enumerate(sorted(numbers)), key=lambda pair: pair[1] - pair[0]):
        values = [number for _, number in run]
        runs.append(str(values[0]) if len(values) == 1 else f"{values[0]}–{values[-1]}")
    return ", ".join(runs)


def fold_rows(results: Results) -> list[FoldRow]:
    """One row for each cross-validation of a run that finished."""
    rows: dict[tuple[str, int, str], FoldRow] = {}
    for recipe, cells in finished_cells(results).items():
        for cell in cells:
            for fold in cell.folds:
                key = (recipe.name, cell.seed, fold.trained_at)
                row = rows.setdefault(key, FoldRow(*key, {}))
                row.scores[fold.fold] = (fold.score, fold.chosen)
    return list(rows.values())


def case_counts(results: Results) -> dict[str, list[CaseCounts]]:
    """Site → one row for each part. The sum over sites is last, under :data:`ALL_SITES`."""
    names = [*sorted(results.sites), ALL_SITES]
    table: dict[str, list[CaseCounts]] = {name: [] for name in names}
    for part in SPLIT_NAMES:
        counts = [
            [getattr(results.sites[site], part).get(name, 0) for name in results.task.classes]
            for site in names[:-1]
        ]
        counts.append([sum(column) for column in zip(*counts, strict=True)])
        for name, row in zip(names, counts, strict=True):
            table[name].append(CaseCounts(part, row, sum(row)))
    return table


def loss_curves(results: Results) -> list[LossCurve]:
    """One curve for each strategy with a finished run whose losses the server knows."""
    curves = []
    for recipe, cells in finished_cells(results).items():
        overall: dict[int, list[float]] = defaultdict(list)
        by_site: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        for record in (record for cell in cells for record in cell.rounds if record.sites):
            if record.loss is not None:
                overall[record.round].append(record.loss)
            for site, work in record.sites.items():
                if work.loss is not None:
                    by_site[site][record.round].append(work.loss)
        if overall:
            sites = {site: _points(by_site[site]) for site in sorted(by_site)}
            sites.pop(ALL_SITES, None)  # pooled training: its only line is the mean
            exchanged = _megabytes(cells, max(len(results.sites), 1))
            curves.append(LossCurve(recipe.name, _points(overall), sites, exchanged))
    return curves


def _megabytes(cells: Sequence[Cell], sites: int) -> dict[int, float]:
    by_round: dict[int, list[int]] = defaultdict(list)
    for cell in cells:
        total = 0
        for record in sorted(cell.rounds, key=lambda record: record.round):
            total += record.bytes_up + record.bytes_down
            by_round[record.round].append(total)
    return {number: fmean(sizes) / sites / 1e6 for number, sizes in sorted(by_round.items())}


def _points(losses: Mapping[int, Sequence[float]]) -> list[tuple[int, float]]:
    return [(number, fmean(values)) for number, values in sorted(losses.items())]
