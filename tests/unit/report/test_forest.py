"""Forest plots: every difference in its place, with its text beside it."""

import pytest
from helpers import svg
from helpers.small_analysis import a_difference, a_test, analysis_of, estimate

from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.report.comparisons import Comparison
from ucadi_flwr.report.figures.forest import ROWS, _limit, forest_plots
from ucadi_flwr.results.analysis import Difference


def comparison_of(*differences: Difference, names: tuple[str, ...] = ()) -> Comparison:
    tests = [a_test(name, ALL_SITES, "s") for name in ("fedavg", "x", *names)]
    return Comparison(analysis_of(tests, differences=list(differences)), [])


def test_rows_are_below_their_test_set(comparison: Comparison) -> None:
    auc, accuracy = forest_plots(comparison)
    assert (auc.name, accuracy.name) == ("forest-auc", "forest-accuracy")
    words = [row for row in svg.rows(svg.parse(auc)) if any(char.isalpha() for char in row[0])]
    assert words == [
        ["strategies", "difference (95\N{NO-BREAK SPACE}% CI)", "corrected p"],
        ["all sites, 100 cases"],
        ["local − fedavg", "−.050 (−.070 to −.030)", "< .001"],
        ["ucadi − fedavg", "+.001 (−.004 to .006)", "1"],
        ["a, 60 cases"],
        ["local − ucadi", "−.030 (−.050 to −.010)", ".010"],
        ["ucadi − fedavg", "+.020 (.010 to .030)", ".004"],
        ["difference in AUC"],
    ]


def test_the_axis_names_the_reference_if_all_differences_are_from_it(
    comparison: Comparison,
) -> None:
    _, accuracy = forest_plots(comparison)
    words = svg.texts(svg.parse(accuracy))
    assert "local" in words
    assert "difference in accuracy from fedavg" in words
    assert "strategy" in words
    assert accuracy.title == "Differences in accuracy from fedavg"


def test_marks_are_at_the_values() -> None:
    low, high = estimate(-0.02, -0.04, 0.0), estimate(0.02, 0.0, 0.04)
    comparison = comparison_of(
        a_difference("x", "fedavg", "s", low), a_difference("y", "fedavg", "s", high)
    )
    (drawing,) = forest_plots(comparison)
    root = svg.parse(drawing)
    ((zero, _), _), *_ = svg.paths(root, stroke_width="0.8", stroke="#555555")
    first, second = svg.paths(root, stroke_width="1.1")
    assert first[0][0] < first[1][0] == pytest.approx(zero)
    assert second[0][0] == pytest.approx(zero)
    assert zero - first[0][0] == pytest.approx(second[1][0] - zero)
    assert first[0][1] < second[0][1]


def test_a_mark_is_filled_if_a_difference_was_shown() -> None:
    shown = a_difference("x", "fedavg", "s", estimate(0.02, 0.01, 0.03), 0.001, 0.01)
    not_shown = a_difference("x", "fedavg", "s", estimate(0.02, 0.01, 0.03), 0.02, 0.1)
    fills = []
    for difference in (shown, not_shown):
        root = svg.parse(forest_plots(comparison_of(difference))[0])
        uses = [svg.style(use, "fill", "#000000") for use in root.iter("use")]
        fills.append("#ffffff" in uses)
    assert fills == [False, True]


def test_a_very_wide_interval_is_cut_with_an_arrow() -> None:
    narrow = [a_difference(f"s{i}", "fedavg", "s", estimate(0.0, -0.01, 0.01)) for i in range(4)]
    wide = a_difference("x", "fedavg", "s", estimate(0.3, -0.5, 0.9))
    (drawing,) = forest_plots(comparison_of(*narrow, wide))
    assert "Arrow: the interval is longer than drawn." in drawing.caption
    assert 0.3 < _limit([*narrow, wide]) < 0.9
    assert "Arrow" not in forest_plots(comparison_of(*narrow))[0].caption


@pytest.mark.parametrize("values", [(0.0, 0.0, 0.0), (0.01, None, None), (0.0, None, 0.01)])
def test_differences_without_width(values: tuple[float, float | None, float | None]) -> None:
    (drawing,) = forest_plots(comparison_of(a_difference("x", "fedavg", "s", estimate(*values))))
    assert "x" in svg.texts(svg.parse(drawing))


def test_an_undefined_difference_has_no_row() -> None:
    assert forest_plots(comparison_of(a_difference("x", "fedavg", "s", estimate(None)))) == []
    assert forest_plots(comparison_of()) == []


def test_a_test_set_that_only_differences_name() -> None:
    (drawing,) = forest_plots(comparison_of(a_difference("x", "fedavg", "gone", estimate(0.1))))
    assert "gone" in svg.texts(svg.parse(drawing))


@pytest.mark.parametrize(
    ("strategies", "sites", "parts"),
    [(4, 3, 1), (13, 3, 1), (14, 3, 2), (ROWS - 1, 1, 1), (ROWS, 1, 2), (ROWS, 2, 4)],
)
def test_long_plots_continue_in_further_figures(strategies: int, sites: int, parts: int) -> None:
    differences = [
        a_difference(f"x{i:02d}", "fedavg", f"s{k}", estimate(0.0, -0.01, 0.01))
        for k in range(sites)
        for i in range(strategies)
    ]
    drawings = forest_plots(comparison_of(*differences))
    assert len(drawings) == parts
    words = [word for drawing in drawings for word in svg.texts(svg.parse(drawing))]
    assert sum(word.startswith("x") for word in words) == strategies * sites
    if parts > 1:
        assert drawings[0].name == "forest-auc-1"
        assert drawings[0].caption.endswith(f"Part 1 of {parts}.")
