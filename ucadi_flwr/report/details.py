"""Analysis → the rows of the report's smaller tables."""

from collections.abc import Sequence
from dataclasses import dataclass

from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.report import formats
from ucadi_flwr.report.comparisons import UNITS, Comparison, TestSet, measure_of, name_of
from ucadi_flwr.results.analysis import (
    FEWEST_POINTS,
    UNDEFINED,
    Difference,
    Embedding,
    Estimate,
    Measure,
    ReaderMeasures,
    ReaderStudy,
    Tested,
)

MEASURE_NAMES: dict[Measure, str] = {"auc": "AUC", "accuracy": "accuracy"}
"""The measures that strategies are compared by, as the page names them."""

SETS_WITH_CONFUSION = 6
"""With more test sets than this, only the first (all sites) has confusion matrices."""

COLUMNS_OF_CONFUSION = 8
"""Columns of counts that fit on A4."""


@dataclass(frozen=True)
class Binned:
    """A strategy's exact and binned AUC on one test set; ``difference``: binned minus exact.

    ``largest``: of the differences on all test sets, the one that is farthest from zero.
    """

    strategy: str
    where: str
    exact: float | None
    binned: float | None
    difference: float | None
    largest: float | None


@dataclass(frozen=True)
class Confusion:
    """The cases of one true class by decision, for one test set after the other.

    ``cells``: number of cases, and per cent of the true class; None where there was no test.
    """

    name: str
    cells: list[tuple[int, float] | None]


@dataclass(frozen=True)
class ReaderRow:
    """A reader's measures; ``against``: strategy → the same with the p-values against its model."""

    reader: ReaderMeasures
    against: dict[str, ReaderMeasures]


def binned(comparison: Comparison) -> list[Binned]:
    """One row for each strategy: all sites together if tested, else its first test set."""
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
                    exact=measure_of(first, "auc").mean,
                    binned=first.auc_binned,
                    difference=_gap(first),
                    largest=max(gaps, key=abs, default=None),
                )
            )
    return rows


def _gap(tested: Tested) -> float | None:
    exact = measure_of(tested, "auc").mean
    return None if exact is None or tested.auc_binned is None else tested.auc_binned - exact


def confusion_blocks(comparison: Comparison, classes: Sequence[str]) -> list[list[TestSet]]:
    """The test sets whose confusion matrices are shown, in groups that fit on A4."""
    few = len(comparison.sets) <= SETS_WITH_CONFUSION
    sets = comparison.sets if few else comparison.sets[:1]
    across = max(1, COLUMNS_OF_CONFUSION // max(len(classes), 1))
    return [sets[i : i + across] for i in range(0, len(sets), across)]


def confusion(
    comparison: Comparison, strategy: str, sets: Sequence[TestSet], classes: Sequence[str]
) -> list[Confusion]:
    """One row for each true class: its cases by decision at each of the test sets."""
    tests = [comparison.tested(strategy, test_set.site) for test_set in sets]
    rows = []
    for true, name in enumerate(classes):
        cells: list[tuple[int, float] | None] = []
        for tested in tests:
            counts = tested.confusion[true] if tested and true < len(tested.confusion) else []
            shares = [(count, 100 * count / max(sum(counts), 1)) for count in counts]
            cells += (shares + [None] * len(classes))[: len(classes)]
        rows.append(Confusion(name, cells))
    return rows


def class_auc(tested: Tested | None, name: str) -> Estimate:
    """The AUC of one class against the other classes."""
    return UNDEFINED if tested is None else tested.auc_by_class.get(name, UNDEFINED)


def difference_groups(comparison: Comparison) -> list[tuple[str, list[Difference]]]:
    """Every difference under its measure, unit and method."""
    groups: dict[str, list[Difference]] = {}
    for measure, name in MEASURE_NAMES.items():
        for unit in UNITS:
            for difference in comparison.differences(measure, unit):
                title = f"{name[0].upper()}{name[1:]}, per {unit}: {difference.method}"
                groups.setdefault(title, []).append(difference)
    return list(groups.items())


def without_curve(comparison: Comparison) -> list[str]:
    """The test sets without a ROC curve: they have only positive or only negative cases."""
    return [
        name_of(test_set.site)
        for test_set in comparison.sets
        if not any(t.roc and t.roc.fpr for t in comparison.tests_at(test_set.site))
        and comparison.tests_at(test_set.site)
    ]


def reader_rows(studies: Sequence[ReaderStudy]) -> list[ReaderRow]:
    """One row for each reader, with its comparison with the model of each study."""
    rows: dict[str, ReaderRow] = {}
    for study in studies:
        for reader in study.readers:
            row = rows.setdefault(reader.reader, ReaderRow(reader, {}))
            row.against[study.strategy] = reader
    return list(rows.values())


def why_not_drawn(embedding: Embedding) -> str:
    """Why an embedding has no picture."""
    cases = formats.counted(len(embedding.label), "case")
    if len(embedding.label) < FEWEST_POINTS:
        return f"{cases} are too few, because any few points look like groups"
    return f"its {cases} all have the same features"


def has_held_out(comparison: Comparison) -> bool:
    """Whether a strategy was tested at a site that did not take part in its training."""
    return any(tested.held_out for tested in comparison.all_tests())


def has_undefined_auc(comparison: Comparison) -> bool:
    """Whether an AUC of the summary is not defined."""
    return any(measure_of(t, "auc").mean is None for t in comparison.all_tests())


def ranks_local_models_together(comparison: Comparison) -> bool:
    """Whether an AUC on all sites ranks the scores of several local models together."""
    return any(
        tested.tested_at == ALL_SITES
        for strategy in comparison.strategies
        if comparison.is_local(strategy)
        for tested in comparison.tests(strategy)
    )
