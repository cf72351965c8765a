"""Every number of the tables against one worked out by hand from conftest.py."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucadi_flwr.report import tables
from ucadi_flwr.report.tables import Absence, Cases, Column, Row, Stat
from ucadi_flwr.results.experiment import RecipeRef, Results

UNDEFINED = Stat(None, None, 0, tested=True)
UNTESTED = Stat(None, None, 0, tested=False)


def stat(mean: float, sd: float | None, seeds: int) -> object:
    return pytest.approx((mean, sd, seeds, True))


def by_label(results: Results, measure: tables.Measure) -> dict[str, Row]:
    rows = tables.summary(results, measure)
    assert len({row.label for row in rows}) == len(rows)
    return {row.label: row for row in rows}


def test_rows_are_the_models_in_order_and_count_their_runs(results: Results) -> None:
    rows = tables.summary(results, "auc")
    assert [(row.label, row.finished, row.started) for row in rows] == [
        ("local: a", 2, 2),
        ("local: c", 2, 2),
        ("central", 1, 1),
        ("fedavg", 2, 2),
        ("fedprox", 0, 1),
    ]


def test_columns_are_the_sites_of_finished_tests_with_their_cases(results: Results) -> None:
    # site a was tested with 10 and with 12 cases; site d only in a run that failed
    assert tables.columns(results) == [Column("a", 10, 12), Column("b", 4, 4), Column("c", 20, 20)]


def test_auc_over_seeds(results: Results) -> None:
    rows = by_label(results, "auc")
    spread = 0.1 / math.sqrt(2)  # sample SD of two values that differ by 0.1
    assert rows["local: a"].sites["a"] == stat(0.85, spread, 2)  # 0.9, 0.8
    assert rows["local: a"].sites["c"] == stat(0.65, spread, 2)  # 0.6, 0.7
    assert rows["local: c"].sites["c"] == stat(0.95, None, 1)  # seed 1 has no model of c
    assert rows["fedavg"].sites["a"] == stat(0.9, spread, 2)  # 0.85, 0.95
    assert rows["fedavg"].sites["c"] == stat(0.75, None, 1)  # c missed the test of seed 1


def test_a_figure_that_is_not_defined_is_not_one_that_was_not_measured(results: Results) -> None:
    rows = by_label(results, "auc")
    assert rows["fedavg"].sites["b"] == UNDEFINED
    assert rows["central"].sites == {"a": UNTESTED, "b": UNTESTED, "c": UNTESTED}
    assert rows["fedprox"].sites["a"] == UNTESTED


def test_the_mean_over_sites_is_over_the_same_sites_in_every_row(results: Results) -> None:
    auc = by_label(results, "auc")
    # defined at a and c. local: a: (0.9 + 0.6) / 2 and (0.8 + 0.7) / 2
    assert auc["local: a"].overall == stat(0.75, 0.0, 2)
    assert auc["local: c"].overall == stat(0.725, None, 1)
    # fedavg: (0.85 + 0.75) / 2; seed 1 lacks c, so 0.95 alone is no mean over sites
    assert auc["fedavg"].overall == stat(0.8, None, 1)
    assert auc["fedprox"].overall == UNTESTED


def test_sensitivity_specificity_and_accuracy(results: Results) -> None:
    sensitivity, specificity, accuracy = (
        by_label(results, measure)["local: a"]
        for measure in ("sensitivity", "specificity", "accuracy")
    )
    assert sensitivity.sites["a"] == stat(0.85, 0.1 / math.sqrt(2), 2)  # 0.8, 0.9
    assert sensitivity.sites["b"] == stat(0.75, 0.0, 2)
    # (0.8 + 0.75 + 0.6) / 3 = 0.71667 and (0.9 + 0.75 + 0.7) / 3 = 0.78333
    assert sensitivity.overall == stat(0.75, 0.2 / 3 / math.sqrt(2), 2)
    assert specificity.sites["a"] == stat(0.7, 0.0, 2)
    assert specificity.sites["b"] == UNDEFINED
    assert specificity.overall == stat(0.675, 0.05 / math.sqrt(2), 2)  # 0.65, 0.7
    assert accuracy.sites["a"] == stat(0.65, 0.1 / math.sqrt(2), 2)  # 0.6, 0.7


def test_a_measure_that_no_site_defines_has_no_mean(results: Results) -> None:
    only_b = [
        cell.model_copy(
            update={
                "models": [m.model_copy(update={"test": {"b": m.test["b"]}}) for m in cell.models]
            }
        )
        for cell in results.cells
        if cell.error is None
    ]
    rows = by_label(results.model_copy(update={"cells": only_b}), "auc")
    assert rows["fedavg"].overall == UNDEFINED


def test_recipes_of_one_name_and_two_digests_are_not_mixed(results: Results) -> None:
    fedavg = [cell for cell in results.cells if cell.strategy.name == "fedavg"]
    other = RecipeRef(name="fedavg", digest="another")
    cells = [fedavg[0], fedavg[1].model_copy(update={"strategy": other})]
    rows = tables.summary(results.model_copy(update={"cells": cells}), "auc")
    assert [row.sites["a"].mean for row in rows] == [0.85, 0.95]


def test_absences_join_rounds_and_include_runs_that_failed(results: Results) -> None:
    assert tables.absences(results) == [
        Absence("fedavg", 0, "c", "no answer within 600 s", "2"),
        Absence("fedprox", 0, "a", "no answer within 600 s", "1–3, 7"),
    ]


@given(st.sets(st.integers(1, 60)))
def test_spans_lose_and_invent_no_number(numbers: set[int]) -> None:
    text = tables.spans(numbers)
    found: list[int] = []
    for span in filter(None, text.split(", ")):
        first, _, last = span.partition("–")
        found += range(int(first), int(last or first) + 1)
    assert found == sorted(numbers)
    ends = [int(span.split("–")[-1]) for span in filter(None, text.split(", "))]
    assert not any(end + 1 in numbers for end in ends)  # no two spans could be one


def test_cases_by_site_part_and_class(results: Results) -> None:
    cases = tables.cases(results)
    assert list(cases) == ["a", "b", "c", "all"]
    assert cases["b"] == [
        Cases("train", [2, 4], 6),
        Cases("validation", [0, 0], 0),
        Cases("test", [2, 4], 6),
    ]
    assert cases["all"][0] == Cases("train", [1 + 2 + 3, 2 + 4 + 6], 18)


def test_curves_weigh_sites_by_examples_and_seeds_equally(results: Results) -> None:
    central, fedavg = tables.curves(results)  # local has no rounds; fedprox failed
    assert (central.strategy, central.mean, central.sites) == ("central", [(1, 0.7)], {})
    # round 1: seed 0 (30·1 + 10·2) / 40 = 1.25, seed 1 (30·0.6 + 10·1) / 40 = 0.7
    # round 2: seed 0 is site a alone, 0.5; seed 1 (30·0.3 + 10·0.7) / 40 = 0.4
    # round 3: no site answered
    assert [number for number, _ in fedavg.mean] == [1, 2]
    assert [loss for _, loss in fedavg.mean] == pytest.approx([0.975, 0.45])
    assert fedavg.sites["a"] == [(1, pytest.approx(0.8)), (2, pytest.approx(0.4))]
    assert fedavg.sites["c"] == [(1, pytest.approx(1.5)), (2, pytest.approx(0.7))]
    # seed 0: 3.75, then 3.75 + 7.5 MB; seed 1: 3, 6, 6; means over seeds, of one of three sites
    assert fedavg.megabytes == {
        1: pytest.approx((3.75 + 3) / 2 / 3),
        2: pytest.approx((11.25 + 6) / 2 / 3),
        3: pytest.approx(6 / 3),
    }


def test_a_loss_that_the_server_did_not_learn_is_left_out(results: Results) -> None:
    cell = next(cell for cell in results.cells if cell.strategy.name == "fedavg")
    silent = {
        site: work.model_copy(update={"loss": None, "examples": None})
        for site, work in cell.rounds[0].sites.items()
    }
    first = cell.rounds[0].model_copy(update={"sites": silent})
    some = cell.model_copy(update={"rounds": [first, cell.rounds[1]]})
    (curve,) = tables.curves(results.model_copy(update={"cells": [some]}))
    assert [number for number, _ in curve.mean] == [1, 2]
    assert curve.sites == {"a": [(2, 0.5)]}
    none = [record.model_copy(update={"loss": None}) for record in some.rounds]
    cells = [some.model_copy(update={"rounds": none})]
    assert tables.curves(results.model_copy(update={"cells": cells})) == []


def test_curves_run_forward_when_the_first_run_misses_a_round(results: Results) -> None:
    first, second = (cell for cell in results.cells if cell.strategy.name == "fedavg")
    late = first.model_copy(update={"rounds": first.rounds[1:]})
    (curve,) = tables.curves(results.model_copy(update={"cells": [late, second]}))
    assert curve.mean == [(1, pytest.approx(0.7)), (2, pytest.approx(0.45))]
