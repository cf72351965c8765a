"""The rows of the smaller tables."""

import pytest
from helpers.near import near
from helpers.small_analysis import a_test, analysis_of, estimate

from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.report import details
from ucadi_flwr.report.comparisons import Comparison
from ucadi_flwr.results.analysis import Analysis


def test_binned_minus_exact(comparison: Comparison) -> None:
    rows = details.binned(comparison)
    assert [(row.strategy, row.where) for row in rows] == [
        ("local", "all sites"),
        ("fedavg", "all sites"),
        ("ucadi", "all sites"),
    ]
    assert (rows[1].exact, rows[1].binned) == (0.9, near(0.899))
    assert rows[1].difference == pytest.approx(-0.001)


def test_the_largest_difference_keeps_its_sign() -> None:
    auc = estimate(0.5)
    tests = [
        a_test("x", ALL_SITES, ALL_SITES, auc, auc_binned=0.501),
        a_test("x", ALL_SITES, "a", auc, auc_binned=0.497),
        a_test("x", ALL_SITES, "b", auc, auc_binned=None),
        a_test("y", ALL_SITES, "b", estimate(None), auc_binned=0.6),
        a_test("z", ALL_SITES, "b", auc, auc_binned=None),
    ]
    x, y = details.binned(Comparison(analysis_of(tests), []))
    assert (x.where, x.difference, x.largest) == (
        "all sites",
        near(0.001),
        near(-0.003),
    )
    assert (y.strategy, y.where, y.exact, y.difference, y.largest) == ("y", "b", None, None, None)


def test_confusion_rows_are_true_classes_side_by_side(comparison: Comparison) -> None:
    sets = comparison.sets[:2]
    healthy, covid = details.confusion(comparison, "fedavg", sets, ["healthy", "covid"])
    half = [(50, near(100 * 50 / 60)), (10, near(100 * 10 / 60))]
    assert (healthy.name, healthy.cells) == ("healthy", half * 2)
    assert covid.cells == [(5, 12.5), (35, 87.5)] * 2


def test_confusion_without_a_test_or_without_cases() -> None:
    tests = [a_test("x", ALL_SITES, "a", confusion=[[0, 0]]), a_test("y", ALL_SITES, "b")]
    comparison = Comparison(analysis_of(tests), [])
    first, second = details.confusion(comparison, "x", comparison.sets, ["healthy", "covid"])
    assert first.cells == [(0, 0.0), (0, 0.0), None, None]
    assert second.cells == [None, None, None, None]


@pytest.mark.parametrize(
    ("sites", "classes", "expected"),
    [
        (3, 2, [[ALL_SITES, "s0", "s1", "s2"]]),
        (3, 4, [[ALL_SITES, "s0"], ["s1", "s2"]]),
        (2, 9, [[ALL_SITES], ["s0"], ["s1"]]),
        (6, 2, [[ALL_SITES]]),  # too many test sets
        (2, 0, [[ALL_SITES, "s0", "s1"]]),
    ],
)
def test_confusion_matrices_that_fit(sites: int, classes: int, expected: list[list[str]]) -> None:
    tests = [a_test("x", ALL_SITES, site) for site in (ALL_SITES, *(f"s{i}" for i in range(sites)))]
    blocks = details.confusion_blocks(Comparison(analysis_of(tests), []), ["c"] * classes)
    assert [[test_set.site for test_set in block] for block in blocks] == expected


def test_the_auc_of_a_class() -> None:
    tested = a_test("x", ALL_SITES, "a")
    assert details.class_auc(tested, "covid").mean == 0.9
    assert details.class_auc(tested, "other").mean is None
    assert details.class_auc(None, "covid").mean is None


def test_differences_under_their_measure_unit_and_method(comparison: Comparison) -> None:
    groups = details.difference_groups(comparison)
    assert [(title, len(rows)) for title, rows in groups] == [
        ("AUC, per scan: DeLong", 4),
        ("AUC, per patient: DeLong", 1),
        ("Accuracy, per scan: sign flips", 1),
    ]


def test_test_sets_without_a_curve(comparison: Comparison) -> None:
    assert details.without_curve(comparison) == ["b"]
    assert details.has_undefined_auc(comparison)
    assert details.ranks_local_models_together(comparison)
    assert not details.has_held_out(comparison)
    only = Comparison(analysis_of([a_test("fedavg", ALL_SITES, "a", held_out=True)]), [])
    assert details.without_curve(only) == []
    assert not details.has_undefined_auc(only)
    assert not details.ranks_local_models_together(only)
    assert details.has_held_out(only)


def test_each_reader_has_one_row(analysis: Analysis) -> None:
    rows = details.reader_rows(analysis.readers)
    assert [row.reader.reader for row in rows] == ["A", "B", "majority"]
    assert {name: reader.p for name, reader in rows[0].against.items()} == {
        "fedavg": 0.03,
        "ucadi": None,
    }
