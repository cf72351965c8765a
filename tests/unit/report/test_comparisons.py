"""Test sets, strategies and models in the order of the page."""

import pytest
from helpers.small_analysis import a_difference, a_test, analysis_of, estimate

from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.report.comparisons import Comparison, TestSet, measure_of
from ucadi_flwr.results.analysis import OWN


def test_all_sites_come_first_and_strategies_keep_their_order(comparison: Comparison) -> None:
    assert comparison.sets == [
        TestSet(ALL_SITES, "case", 100, 100, 90, 40),
        TestSet("a", "case", 60, 60, 50, 40),
        TestSet("b", "case", 40, 40, 30, 40),
    ]
    assert [test_set.site for test_set in comparison.sites] == ["a", "b"]
    assert comparison.main == comparison.sets[0]
    assert comparison.strategies == ["local", "fedavg", "ucadi"]
    assert comparison.percent == "95\N{NO-BREAK SPACE}%"
    assert comparison.units == ["scan", "patient"]


def test_a_strategy_that_only_the_analysis_names_comes_last() -> None:
    analysis = analysis_of([a_test("new", ALL_SITES, "a"), a_test("fedavg", ALL_SITES, "a")])
    assert Comparison(analysis, ["fedavg"]).strategies == ["fedavg", "new"]


@pytest.mark.parametrize(
    ("fewest", "most", "patients", "size"),
    [
        (807, 807, 790, "807 cases of 790 patients, 40 positive"),
        (1, 1, 1, "1 case, 40 positive"),
        (12, 1400, 1400, "12–1,400 cases, 40 positive"),
    ],
)
def test_sizes(fewest: int, most: int, patients: int, size: str) -> None:
    assert TestSet("a", "case", fewest, most, patients, 40).size == size


def test_different_numbers_of_cases_are_shown_as_a_range() -> None:
    tests = [a_test("x", ALL_SITES, "a", cases=12), a_test("y", ALL_SITES, "a", cases=14)]
    assert Comparison(analysis_of(tests), []).sets[0].cases == "12–14 cases"


def test_an_analysis_of_patients_counts_patients() -> None:
    tests = [a_test("fedavg", ALL_SITES, "a", unit="patient", cases=31, patients=30)]
    comparison = Comparison(analysis_of(tests), [])
    assert comparison.unit == "patient"
    assert comparison.sets[0].size == "30 patients, 40 positive"


def test_a_strategy_has_one_model_of_all_sites_or_local_models(comparison: Comparison) -> None:
    own, all_ = comparison.tested("local", "a"), comparison.tested("fedavg", "a")
    assert own is not None
    assert all_ is not None
    assert (own.trained_at, all_.trained_at) == (OWN, ALL_SITES)
    assert comparison.is_local("local")
    assert not comparison.is_local("fedavg")
    assert comparison.tested("fedavg", "nowhere") is None
    assert comparison.tested("local", "a", "patient") is None
    assert [t.strategy for t in comparison.tests_at("a")] == ["local", "fedavg", "ucadi"]


def test_cross_site_rows_are_trained_models_at_sites(comparison: Comparison) -> None:
    rows = comparison.cross_rows()
    assert [row.label for row in rows] == ["local: a", "local: b", "fedavg", "ucadi"]
    assert [list(row.tests) for row in rows] == [["a", "b"]] * 4
    assert rows[2].auc("a").mean == 0.9
    assert rows[2].auc("b").mean is None
    assert rows[2].auc("nowhere").mean is None


def test_with_one_site_its_cases_are_all_cases() -> None:
    tests = [a_test("fedavg", ALL_SITES, site) for site in ("a", ALL_SITES)]
    differences = [
        a_difference("ucadi", "fedavg", site, estimate(0.1)) for site in ("a", ALL_SITES)
    ]
    comparison = Comparison(analysis_of(tests, differences=differences), [])
    assert [test_set.site for test_set in comparison.sets] == ["a"]
    assert [d.tested_at for d in comparison.differences("auc")] == ["a"]


def test_differences_by_test_set_then_strategy(comparison: Comparison) -> None:
    assert [(d.tested_at, d.a, d.b) for d in comparison.differences("auc")] == [
        (ALL_SITES, "local", "fedavg"),
        (ALL_SITES, "ucadi", "fedavg"),
        ("a", "local", "ucadi"),
        ("a", "ucadi", "fedavg"),
    ]
    assert len(comparison.differences("accuracy")) == 1
    assert len(comparison.differences("auc", "patient")) == 1


def test_strategies_that_were_not_tested_come_last_among_differences() -> None:
    differences = [a_difference(name, "fedavg", "a", estimate(0.1)) for name in ("gone", "fedavg")]
    analysis = analysis_of([a_test("fedavg", ALL_SITES, "a")], differences=differences)
    assert [d.a for d in Comparison(analysis, []).differences("auc")] == ["fedavg", "gone"]


def test_a_missing_measure_is_undefined() -> None:
    assert measure_of(None, "auc").mean is None
    assert measure_of(a_test("x", ALL_SITES, "a"), "nonsense").mean is None


def test_an_empty_analysis_has_nothing() -> None:
    comparison = Comparison(analysis_of([]), ["fedavg"])
    assert (comparison.sets, comparison.main, comparison.units) == ([], None, [])
