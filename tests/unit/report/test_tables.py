"""Every number of the tables against one computed by hand from small_results.py."""

from dataclasses import replace

import pytest
from helpers.near import near
from hypothesis import given
from hypothesis import strategies as st

from ucadi_flwr.report import tables
from ucadi_flwr.report.tables import Absence, CaseCounts, FoldRow
from ucadi_flwr.results.experiment import RecipeRef, Results


def test_cells_with_an_error_are_not_finished(results: Results) -> None:
    finished = tables.finished_cells(results)
    assert [(recipe.name, len(cells)) for recipe, cells in finished.items()] == [
        ("local", 2),
        ("central", 1),
        ("fedavg", 2),
        ("fedprox", 0),
    ]


def test_recipes_of_one_name_and_two_digests_are_not_mixed(results: Results) -> None:
    fedavg = [cell for cell in results.cells if cell.strategy.name == "fedavg"]
    other = RecipeRef(name="fedavg", digest="another")
    cells = [fedavg[0], fedavg[1].model_copy(update={"strategy": other})]
    results = results.model_copy(update={"cells": cells})
    assert [len(group) for group in tables.finished_cells(results).values()] == [1, 1]
    first, second = tables.loss_curves(results)
    # round 1: seed 0 (30·1 + 10·2) / 40, seed 1 (30·0.6 + 10·1) / 40
    assert (first.mean[0], second.mean[0]) == ((1, 1.25), (1, near(0.7)))


def test_absences_join_rounds_and_include_runs_that_failed(results: Results) -> None:
    assert tables.absences(results) == [
        Absence("fedavg", 0, "c", "no answer within 600 s", "2"),
        Absence("fedprox", 0, "a", "no answer within 600 s", "1–3, 7"),
    ]


@given(st.sets(st.integers(1, 60)))
def test_spans_lose_and_invent_no_number(numbers: set[int]) -> None:
    text = tables.spans(numbers)
    covered: list[int] = []
    for span in filter(None, text.split(", ")):
        first, _, last = span.partition("–")
        covered += range(int(first), int(last or first) + 1)
    assert covered == sorted(numbers)
    ends = [int(span.split("–")[-1]) for span in filter(None, text.split(", "))]
    assert not any(end + 1 in numbers for end in ends)  # no two spans could be one


def test_a_fold_row_has_mean_and_sample_sd() -> None:
    row = FoldRow("fedavg", 0, "all", {1: (0.7, False), 2: (0.9, True)})
    assert (row.mean, row.sd) == (near(0.8), near(0.2 / 2**0.5))
    assert FoldRow("fedavg", 0, "all", {1: (0.7, True)}).sd is None


def test_cases_by_site_part_and_class(results: Results) -> None:
    counts = tables.case_counts(results)
    assert list(counts) == ["a", "b", "c", "all"]
    assert counts["b"] == [
        CaseCounts("train", [2, 4], 6),
        CaseCounts("validation", [0, 0], 0),
        CaseCounts("test", [2, 4], 6),
    ]
    assert counts["all"][0] == CaseCounts("train", [1 + 2 + 3, 2 + 4 + 6], 18)


def test_losses_weigh_sites_by_examples_and_seeds_equally(results: Results) -> None:
    central, fedavg = tables.loss_curves(results)  # local has no rounds; fedprox failed
    assert (central.strategy, central.mean, central.sites) == ("central", [(1, 0.7)], {})
    # round 1: seed 0 (30·1 + 10·2) / 40 = 1.25, seed 1 (30·0.6 + 10·1) / 40 = 0.7
    # round 2: seed 0 is site a alone, 0.5; seed 1 (30·0.3 + 10·0.7) / 40 = 0.4
    # round 3: no site answered
    assert [number for number, _ in fedavg.mean] == [1, 2]
    assert [loss for _, loss in fedavg.mean] == pytest.approx([0.975, 0.45])
    assert fedavg.sites["a"] == [(1, near(0.8)), (2, near(0.4))]
    assert fedavg.sites["c"] == [(1, near(1.5)), (2, near(0.7))]
    # seed 0: 3.75, then 3.75 + 7.5 MB; seed 1: 3, 6, 6; means over seeds, of one of three sites
    assert fedavg.megabytes == {
        1: pytest.approx((3.75 + 3) / 2 / 3),
        2: pytest.approx((11.25 + 6) / 2 / 3),
        3: pytest.approx(6 / 3),
    }


def test_a_loss_that_the_server_does_not_know_is_left_out(results: Results) -> None:
    cell = next(cell for cell in results.cells if cell.strategy.name == "fedavg")
    silent = {
        site: replace(work, loss=None, examples=None) for site, work in cell.rounds[0].sites.items()
    }
    first = replace(cell.rounds[0], sites=silent)
    some = cell.model_copy(update={"rounds": [first, cell.rounds[1]]})
    (curve,) = tables.loss_curves(results.model_copy(update={"cells": [some]}))
    assert [number for number, _ in curve.mean] == [1, 2]
    assert curve.sites == {"a": [(2, 0.5)]}
    none = [replace(record, loss=None) for record in some.rounds]
    cells = [some.model_copy(update={"rounds": none})]
    assert tables.loss_curves(results.model_copy(update={"cells": cells})) == []


def test_rounds_are_in_order_when_the_first_run_misses_one(results: Results) -> None:
    first, second = (cell for cell in results.cells if cell.strategy.name == "fedavg")
    late = first.model_copy(update={"rounds": first.rounds[1:]})
    (curve,) = tables.loss_curves(results.model_copy(update={"cells": [late, second]}))
    assert curve.mean == [(1, near(0.7)), (2, near(0.45))]
