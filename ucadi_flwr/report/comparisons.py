"""The analysis as the page reads it: test sets, strategies and models in their order."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.report import formats
from ucadi_flwr.results.analysis import (
    OWN,
    UNDEFINED,
    Analysis,
    Difference,
    Estimate,
    Measure,
    Tested,
    Unit,
)

UNITS: tuple[Unit, ...] = ("scan", "patient")
"""The page uses the first unit that the analysis has; only decisions are shown for both."""


@dataclass(frozen=True)
class TestSet:
    """The cases of one site, or of all sites, on which strategies were tested.

    Strategies can differ in their number of cases: ``fewest`` and ``most`` count them in ``noun``,
    "case", or "patient" if the analysis is of patients only.
    """

    __test__ = False  # not a test of pytest's

    site: str
    noun: str
    fewest: int
    most: int
    patients: int
    positives: int

    @property
    def name(self) -> str:
        """The site's name, or "all sites"."""
        return name_of(self.site)

    @property
    def cases(self) -> str:
        """The size in words: "807 cases", "12–14 cases"."""
        if self.fewest == self.most:
            return formats.counted(self.most, self.noun)
        return f"{formats.number(self.fewest)}–{formats.number(self.most)} {self.noun}s"

    @property
    def size(self) -> str:
        """The composition in words: "807 cases of 790 patients, 398 positive"."""
        of = f" of {formats.counted(self.patients, 'patient')}" * (self.patients != self.most)
        return f"{self.cases}{of}, {formats.number(self.positives)} positive"


@dataclass(frozen=True)
class CrossRow:
    """A trained model: its strategy, where it was trained, and its tests by site."""

    strategy: str
    trained_at: str
    tests: dict[str, Tested]

    @property
    def label(self) -> str:
        """The strategy, and the site if only one site trained the model."""
        return (
            self.strategy if self.trained_at == ALL_SITES else f"{self.strategy}: {self.trained_at}"
        )

    def auc(self, site: str) -> Estimate:
        """The model's AUC at a site, undefined if it was not tested there."""
        return measure_of(self.tests.get(site), "auc")


def name_of(tested_at: str) -> str:
    """The name of a test set on the page: "all sites", or the site's name."""
    return "all sites" if tested_at == ALL_SITES else tested_at


def measure_of(tested: Tested | None, name: str) -> Estimate:
    """One measure of a test, undefined if the test or the measure is missing."""
    return UNDEFINED if tested is None else tested.figures.get(name, UNDEFINED)


def _without_repeats(analysis: Analysis) -> Analysis:
    """With only one site, its cases are all cases: leave out the rows of all sites together."""
    if len({tested.tested_at for tested in analysis.tested} - {ALL_SITES}) != 1:
        return analysis
    return analysis.model_copy(
        update={
            "tested": [tested for tested in analysis.tested if tested.tested_at != ALL_SITES],
            "differences": [d for d in analysis.differences if d.tested_at != ALL_SITES],
        }
    )


class Comparison:
    """An analysis with its strategies in the order of the experiment.

    Args:
        analysis: the analysis. If there is only one site, :attr:`analysis` is without the rows of
            all sites together, which repeat it.
        strategies: names of the strategies in the order in which the page lists them; strategies
            that only the analysis names come last.
    """

    def __init__(self, analysis: Analysis, strategies: Sequence[str]) -> None:
        self.analysis = analysis = _without_repeats(analysis)
        self.strategies = list(dict.fromkeys([*strategies, *(t.strategy for t in analysis.tested)]))
        self.units = [unit for unit in UNITS if any(t.unit == unit for t in analysis.tested)]
        self.unit: Unit = self.units[0] if self.units else UNITS[0]
        self._tests = {(t.strategy, t.trained_at, t.tested_at, t.unit): t for t in analysis.tested}

    @property
    def reference(self) -> str:
        """The strategy that the others are compared with."""
        return self.analysis.reference

    @property
    def percent(self) -> str:
        """The level of the intervals, "95 %"."""
        return f"{self.analysis.level * 100:g}\N{NO-BREAK SPACE}%"

    @property
    def noun(self) -> str:
        """What test sets are counted in, "case" or "patient"."""
        return "case" if self.unit == "scan" else "patient"

    def count(self, tested: Tested) -> int:
        """How many cases, or patients, a test has."""
        return tested.cases if self.unit == "scan" else tested.patients

    @cached_property
    def sets(self) -> list[TestSet]:
        """All cases first, then the sites by name."""
        by_site: dict[str, list[Tested]] = {}
        for tested in self.analysis.tested:
            if tested.unit == self.unit:
                by_site.setdefault(tested.tested_at, []).append(tested)
        return [
            TestSet(
                site=site,
                noun=self.noun,
                fewest=min(map(self.count, by_site[site])),
                most=max(map(self.count, by_site[site])),
                patients=max(t.patients for t in by_site[site]),
                positives=max(t.positives for t in by_site[site]),
            )
            for site in sorted(by_site, key=lambda site: (site != ALL_SITES, site))
        ]

    @property
    def sites(self) -> list[TestSet]:
        """The test sets of one site each."""
        return [test_set for test_set in self.sets if test_set.site != ALL_SITES]

    @property
    def main(self) -> TestSet | None:
        """All cases, or else the first site's; None if nothing was tested."""
        return self.sets[0] if self.sets else None

    def tested(self, strategy: str, site: str, unit: Unit | None = None) -> Tested | None:
        """The test of a strategy's one model, or of its local models taken together."""
        for trained_at in (ALL_SITES, OWN):
            tested = self._tests.get((strategy, trained_at, site, unit or self.unit))
            if tested is not None:
                return tested
        return None

    def tests(self, strategy: str) -> list[Tested]:
        """A strategy's tests in the order of :attr:`sets`."""
        every = (self.tested(strategy, test_set.site) for test_set in self.sets)
        return [tested for tested in every if tested is not None]

    def tests_at(self, site: str) -> list[Tested]:
        """Every strategy's test at a site."""
        every = (self.tested(strategy, site) for strategy in self.strategies)
        return [tested for tested in every if tested is not None]

    def all_tests(self) -> list[Tested]:
        """Every strategy's tests at all test sets."""
        return [tested for strategy in self.strategies for tested in self.tests(strategy)]

    def is_local(self, strategy: str) -> bool:
        """Whether every site has its own model."""
        return any(tested.trained_at == OWN for tested in self.tests(strategy))

    def cross_rows(self) -> list[CrossRow]:
        """Every trained model, with its tests at sites."""
        rows: dict[tuple[str, str], dict[str, Tested]] = {}
        for tested in self.analysis.tested:
            if (
                tested.unit == self.unit
                and tested.trained_at != OWN
                and tested.tested_at != ALL_SITES
            ):
                key = (tested.strategy, tested.trained_at)
                rows.setdefault(key, {})[tested.tested_at] = tested
        ordered = sorted(rows, key=lambda key: (self._place(key[0]), key[1]))
        return [CrossRow(*key, rows[key]) for key in ordered]

    def differences(self, measure: Measure, unit: Unit | None = None) -> list[Difference]:
        """The differences of a measure: by test set, then in the order of the strategies."""
        every = self.analysis.differences
        return sorted(
            (d for d in every if d.measure == measure and d.unit == (unit or self.unit)),
            key=lambda d: (
                (d.tested_at != ALL_SITES, d.tested_at),
                self._place(d.a),
                self._place(d.b),
            ),
        )

    @cached_property
    def pairs(self) -> dict[tuple[frozenset[str], str], Difference]:
        """Two strategies, in either order, and a test set → their difference in AUC."""
        return {(frozenset((d.a, d.b)), d.tested_at): d for d in self.differences("auc")}

    def _place(self, strategy: str) -> int:
        listed = strategy in self.strategies
        return self.strategies.index(strategy) if listed else len(self.strategies)
