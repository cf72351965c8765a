"""Results → the rows of the report's tables and the lines of its curves; nothing is formatted.

Figures are of runs that finished: a cell with an error is named on the page and left out here.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from statistics import fmean, stdev
from typing import Literal, NamedTuple

from ucadi_flwr.results.experiment import Cell, Figures, RecipeRef, Results

EVERYONE = "all"
"""Where a model was trained that belongs to no single site."""

PARTS: tuple[Literal["train", "validation", "test"], ...] = ("train", "validation", "test")

Measure = Literal["auc", "sensitivity", "specificity", "accuracy"]
Test = Mapping[str, Figures]


class Stat(NamedTuple):
    """One figure over seeds.

    ``mean`` is None if no seed defines it; ``sd`` is the sample standard deviation (n − 1), None
    below two seeds; ``seeds`` counts those that define it; ``tested`` is whether there was a test.
    """

    mean: float | None
    sd: float | None
    seeds: int
    tested: bool


@dataclass(frozen=True)
class Column:
    """A site that models were tested at; tests may differ in their number of cases."""

    site: str
    fewest: int
    most: int


@dataclass(frozen=True)
class Row:
    """One model of a strategy over its seeds: ``finished`` of ``started`` runs.

    ``overall`` is the unweighted mean over the sites at which any model's figure is defined; a
    seed that lacks one of them has none, so that all rows are means over the same sites.
    """

    strategy: str
    trained_at: str
    finished: int
    started: int
    overall: Stat
    sites: dict[str, Stat]

    @property
    def label(self) -> str:
        """The strategy, and the site if the model is one site's own."""
        own = "" if self.trained_at == EVERYONE else f": {self.trained_at}"
        return f"{self.strategy}{own}"


@dataclass(frozen=True)
class Absence:
    """A site that was left out for the same reason in one or more rounds of a run."""

    strategy: str
    seed: int
    site: str
    reason: str
    rounds: str


@dataclass(frozen=True)
class FoldRow:
    """The models of one cross-validation: fold → its score and whether it was chosen."""

    strategy: str
    seed: int
    trained_at: str
    scores: dict[int, tuple[float, bool]]

    @property
    def overall(self) -> Stat:
        """Mean and SD over folds."""
        return _stat([score for score, _ in self.scores.values()])


@dataclass(frozen=True)
class Cases:
    """A site's cases in one part, in the order of the task's classes."""

    part: str
    classes: list[int]
    total: int


@dataclass(frozen=True)
class Curve:
    """Training loss by round: (round, mean over seeds), of all sites and of each.

    ``megabytes``: round → MB, up and down, that one site (mean over all) has exchanged by its end.
    """

    strategy: str
    mean: list[tuple[int, float]]
    sites: dict[str, list[tuple[int, float]]]
    megabytes: dict[int, float]


def finished(results: Results) -> dict[RecipeRef, list[Cell]]:
    """Strategy → its cells without an error, in the order of the document."""
    groups: dict[RecipeRef, list[Cell]] = {cell.strategy: [] for cell in results.cells}
    for cell in results.cells:
        if cell.error is None:
            groups[cell.strategy].append(cell)
    return groups


def columns(results: Results) -> list[Column]:
    """The sites that some model was tested at, by name."""
    cases: dict[str, set[int]] = defaultdict(set)
    for test in _tests(results):
        for site, figures in test.items():
            cases[site].add(figures.n)
    return [Column(site, min(n), max(n)) for site, n in sorted(cases.items())]


def summary(results: Results, measure: Measure) -> list[Row]:
    """One row a model: strategies in the document's order, models by where they were trained."""
    sites = sorted({site for test in _tests(results) for site in test})
    defined = [s for s in sites if any(_value(t, s, measure) is not None for t in _tests(results))]
    rows = []
    for recipe, cells in finished(results).items():
        started = sum(cell.strategy == recipe for cell in results.cells)
        tests: dict[str, list[Test]] = defaultdict(list)
        for cell in cells:
            for model in cell.models:
                tests[model.trained_at].append(model.test)
        for trained_at, own in sorted(tests.items()) or [(EVERYONE, [])]:
            rows.append(
                Row(
                    strategy=recipe.name,
                    trained_at=trained_at,
                    finished=len(cells),
                    started=started,
                    overall=_stat([_over_sites(test, defined, measure) for test in own]),
                    sites={
                        site: _stat([_value(test, site, measure) for test in own if site in test])
                        for site in sites
                    },
                )
            )
    return rows


def absences(results: Results) -> list[Absence]:
    """Who was left out of which rounds, and why; runs that failed are included."""
    rounds: dict[tuple[str, int, str, str], set[int]] = defaultdict(set)
    for cell in results.cells:
        for record in cell.rounds:
            for failure in record.failures:
                key = (cell.strategy.name, cell.seed, failure.site, failure.reason)
                rounds[key].add(record.round)
    return [Absence(*key, spans(numbers)) for key, numbers in rounds.items()]


def spans(numbers: Iterable[int]) -> str:
    """Numbers as text with runs joined: {1, 2, 3, 7} → "1–3, 7"."""
    runs = []
    for _, run in groupby(enumerate(sorted(numbers)), key=lambda pair: pair[1] - pair[0]):
        values = [number for _, number in run]
        runs.append(str(values[0]) if len(values) == 1 else f"{values[0]}–{values[-1]}")
    return ", ".join(runs)


def folds(results: Results) -> list[FoldRow]:
    """One row a cross-validation of a run that finished."""
    rows: dict[tuple[str, int, str], FoldRow] = {}
    for recipe, cells in finished(results).items():
        for cell in cells:
            for fold in cell.folds:
                key = (recipe.name, cell.seed, fold.trained_at)
                row = rows.setdefault(key, FoldRow(*key, {}))
                row.scores[fold.fold] = (fold.score, fold.chosen)
    return list(rows.values())


def cases(results: Results) -> dict[str, list[Cases]]:
    """Site → its parts. The sum over sites comes last, under :data:`EVERYONE`."""
    names = [*sorted(results.sites), EVERYONE]
    table: dict[str, list[Cases]] = {name: [] for name in names}
    for part in PARTS:
        counts = [
            [getattr(results.sites[site], part).get(name, 0) for name in results.task.classes]
            for site in names[:-1]
        ]
        counts.append([sum(column) for column in zip(*counts, strict=True)])
        for name, row in zip(names, counts, strict=True):
            table[name].append(Cases(part, row, sum(row)))
    return table


def curves(results: Results) -> list[Curve]:
    """One curve a strategy with a finished run that trained."""
    found = []
    for recipe, cells in finished(results).items():
        overall: dict[int, list[float]] = defaultdict(list)
        by_site: dict[str, dict[int, list[float]]] = defaultdict(lambda: defaultdict(list))
        for record in (record for cell in cells for record in cell.rounds if record.sites):
            if record.loss is not None:
                overall[record.round].append(record.loss)
            for site, work in record.sites.items():
                if work.loss is not None:
                    by_site[site][record.round].append(work.loss)
        if overall:
            sites = {site: _line(by_site[site]) for site in sorted(by_site)}
            sites.pop(EVERYONE, None)  # pooled training: its one line is the mean
            sent = _megabytes(cells, max(len(results.sites), 1))
            found.append(Curve(recipe.name, _line(overall), sites, sent))
    return found


def _megabytes(cells: Sequence[Cell], sites: int) -> dict[int, float]:
    by_round: dict[int, list[int]] = defaultdict(list)
    for cell in cells:
        total = 0
        for record in sorted(cell.rounds, key=lambda record: record.round):
            total += record.bytes_up + record.bytes_down
            by_round[record.round].append(total)
    return {number: fmean(sent) / sites / 1e6 for number, sent in sorted(by_round.items())}


def _line(losses: Mapping[int, Sequence[float]]) -> list[tuple[int, float]]:
    return [(number, fmean(values)) for number, values in sorted(losses.items())]


def _tests(results: Results) -> list[Test]:
    every = finished(results).values()
    return [model.test for cells in every for cell in cells for model in cell.models]


def _value(test: Test, site: str, measure: Measure) -> float | None:
    figure: float | None = getattr(test[site], measure) if site in test else None
    return figure


def _over_sites(test: Test, sites: Sequence[str], measure: Measure) -> float | None:
    values = [_value(test, site, measure) for site in sites]
    known = [value for value in values if value is not None]
    return fmean(known) if known and len(known) == len(values) else None


def _stat(values: Sequence[float | None]) -> Stat:
    known = [value for value in values if value is not None]
    return Stat(
        mean=fmean(known) if known else None,
        sd=stdev(known) if len(known) > 1 else None,
        seeds=len(known),
        tested=bool(values),
    )
