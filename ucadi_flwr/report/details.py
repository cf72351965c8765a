"""Analysis → the rows of the report's smaller tables."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.report import formats
from ucadi_flwr.report.comparisons import UNDEFINED, UNITS, Comparison, TestSet, figure, name_of
from ucadi_flwr.results.analysis import (
    FEWEST_POINTS,
    Difference,
    Embedding,
    Estimate,
    ReaderFigures,
    Readers,
    Tested,
)

MEASURES: dict[Literal["auc", "accuracy"], str] = {"auc": "AUC", "accuracy": "accuracy"}
"""What differences are of, as a reader calls it."""

SETS_WITH_CONFUSION = 6
"""With more test sets than this, only the first (all sites) has its confusion matrices."""

COLUMNS_OF_CONFUSION = 8
"""Of counts that fit on A4."""


@dataclass(frozen=True)
class Binned:
    """A strategy's exact and binned AUC on one test set; ``difference``: binned less exact.

    ``largest``: the difference that is farthest from zero on any test set.
    """

    strategy: str
    where: str
    exact: float | None
    binned: float | None
    difference: float | None
    largest: float | None


@dataclass(frozen=True)
class Confusion:
    """Cases of one true class by decision, at one test set after the other.

    ``cells``: how many, and per cent of the class there; None where there was no test.
    """

    name: str
    cells: list[tuple[int, float] | None]


@dataclass(frozen=True)
class ReaderRow:
    """A reader, and the same against each strategy's model, which has the p-values."""

    reader: ReaderFigures
    against: dict[str, ReaderFigures]


def binned(comparison: Comparison) -> list[Binned]:
    """One row a strategy: all sites if it has them, else its first test set."""
    rows = []
    for strategy in comparison.strategies:
        tests = [t for t in comparison.tests(strategy) if t.auc_binned is not None]
        gaps = [gap for gap in map(_gap, tests) if gap is not None]
        if tests:
            first = tests[0]
            rows.append(
                Binned(
                    strategy=strategy,
                    where=name_of(first.tested_at),
                    exact=figure(first, "auc").mean,
                    binned=first.auc_binned,
                    difference=_gap(first),
                    largest=max(gaps, key=abs, default=None),
                )
            )
    return rows


def _gap(tested: Tested) -> float | None:
    exact = figure(tested, "auc").mean
    return None if exact is None or tested.auc_binned is None else tested.auc_binned - exact


def confusion_blocks(comparison: Comparison, classes: Sequence[str]) -> list[list[TestSet]]:
    """The test sets whose confusion matrices are shown, as many a table as fit on A4."""
    few = len(comparison.sets) <= SETS_WITH_CONFUSION
    sets = comparison.sets if few else comparison.sets[:1]
    across = max(1, COLUMNS_OF_CONFUSION // max(len(classes), 1))
    return [sets[i : i + across] for i in range(0, len(sets), across)]


def confusion(
    comparison: Comparison, strategy: str, sets: Sequence[TestSet], classes: Sequence[str]
) -> list[Confusion]:
    """One row a true class: its cases at each test set; none where the strategy was not tested."""
    tests = [comparison.tested(strategy, test_set.site) for test_set in sets]
    rows = []
    for true, name in enumerate(classes):
        cells: list[tuple[int, float] | None] = []
        for tested in tests:
            counts = tested.confusion[true] if tested and true < len(tested.confusion) else []
            known = [(count, 100 * count / max(sum(counts), 1)) for count in counts]
            cells += (known + [None] * len(classes))[: len(classes)]
        rows.append(Confusion(name, cells))
    return rows


def class_auc(tested: Tested | None, name: str) -> Estimate:
    """The AUC of a class against the rest."""
    return UNDEFINED if tested is None else tested.auc_by_class.get(name, UNDEFINED)


def difference_groups(comparison: Comparison) -> list[tuple[str, list[Difference]]]:
    """Every difference under its measure, unit and method."""
    groups: dict[str, list[Difference]] = {}
    for measure, what in MEASURES.items():
        for unit in UNITS:
            for difference in comparison.differences(measure, unit):
                title = f"{what[0].upper()}{what[1:]}, per {unit}: {difference.method}"
                groups.setdefault(title, []).append(difference)
    return list(groups.items())


def without_curve(comparison: Comparison) -> list[str]:
    """The test sets that have cases of one kind only, so that there is no ROC curve."""
    return [
        name_of(test_set.site)
        for test_set in comparison.sets
        if not any(t.roc and t.roc.fpr for t in comparison.tests_at(test_set.site))
        and comparison.tests_at(test_set.site)
    ]


def reader_rows(studies: Sequence[Readers]) -> list[ReaderRow]:
    """Every reader once, with what it is against each study's model."""
    rows: dict[str, ReaderRow] = {}
    for study in studies:
        for reader in study.readers:
            row = rows.setdefault(reader.reader, ReaderRow(reader, {}))
            row.against[study.strategy] = reader
    return list(rows.values())


def why_not_drawn(found: Embedding) -> str:
    """Why an embedding has no picture."""
    cases = formats.counted(len(found.label), "case")
    if len(found.label) < FEWEST_POINTS:
        return f"{cases} are too few, as any few points look like groups"
    return f"its {cases} have the same features"


def held_out(comparison: Comparison) -> bool:
    """Whether a strategy was tested at a site that did not train it."""
    return any(tested.held_out for tested in comparison.all_tests())


def has_gaps(comparison: Comparison) -> bool:
    """Whether an AUC of the summary is not defined."""
    return any(figure(t, "auc").mean is None for t in comparison.all_tests())


def all_together(comparison: Comparison) -> bool:
    """Whether local models are also scored on all cases together."""
    return any(
        tested.tested_at == ALL_SITES
        for strategy in comparison.strategies
        if comparison.is_local(strategy)
        for tested in comparison.tests(strategy)
    )
