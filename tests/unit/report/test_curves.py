"""ROC and reliability curves: panels, lines, bands and points."""

from itertools import pairwise

import pytest
from helpers import svg
from helpers.small_analysis import a_study, a_test, analysis_of, estimate

from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.report.comparisons import Comparison
from ucadi_flwr.report.figures.lines import line_styles
from ucadi_flwr.report.figures.reliability import reliability_curves
from ucadi_flwr.report.figures.roc import BANDS, NAMED_READERS, roc_curves
from ucadi_flwr.results.analysis import CalibrationBin, Roc


def test_one_panel_a_test_set_that_has_a_curve(comparison: Comparison) -> None:
    (drawing,) = roc_curves(comparison)
    words = svg.texts(svg.parse(drawing))
    assert {"all sites, n = 100", "a, n = 60"} <= set(words)
    assert not any(word.startswith("b,") for word in words)
    assert [word for word in words if word in comparison.strategies] == ["fedavg", "local", "ucadi"]


def test_a_curve_is_where_its_points_are() -> None:
    (drawing,) = roc_curves(Comparison(analysis_of([a_test("fedavg", ALL_SITES, "s")]), []))
    line, _legend = svg.paths(svg.parse(drawing), stroke_width="1.4")
    (x0, y0), (x1, y1), (x2, y2) = line
    assert (x1 - x0) / (x2 - x0) == pytest.approx(0.5)
    assert (y1 - y0) / (y2 - y0) == pytest.approx(0.8)
    assert x2 > x0
    assert y2 < y0  # SVG's y runs down


def bands(comparison: Comparison) -> int:
    (drawing,) = roc_curves(comparison)
    return sum(
        svg.style(path, "fill-opacity") == "0.12" for path in svg.parse(drawing).iter("path")
    ) + sum(svg.style(use, "fill-opacity") == "0.12" for use in svg.parse(drawing).iter("use"))


def several(count: int) -> Comparison:
    names = ["fedavg", *(f"x{i}" for i in range(count - 1))]
    return Comparison(analysis_of([a_test(name, ALL_SITES, "s") for name in names]), [])


def test_few_strategies_have_bands_and_of_many_the_reference() -> None:
    few, many = several(BANDS), several(BANDS + 1)
    assert bands(few) == BANDS
    assert bands(many) == 1
    assert (
        "Bands: pointwise 95\N{NO-BREAK SPACE}% confidence intervals" in roc_curves(few)[0].caption
    )
    assert (
        "Band: the pointwise 95\N{NO-BREAK SPACE}% confidence interval of fedavg"
        in roc_curves(many)[0].caption
    )


def test_an_undefined_band_is_not_drawn() -> None:
    roc = Roc(fpr=[0, 1], tpr=[0, 1], low=[None, None], high=[None, None])
    one = Comparison(analysis_of([a_test("fedavg", ALL_SITES, "s", roc=roc)]), [])
    assert bands(one) == 0
    names = [f"x{i}" for i in range(BANDS + 1)]
    no_reference = Comparison(analysis_of([a_test(n, ALL_SITES, "s") for n in names]), [])
    assert "Band" not in roc_curves(no_reference)[0].caption


def test_readers_are_points_on_all_cases(comparison: Comparison) -> None:
    (drawing,) = roc_curves(comparison)
    words = svg.texts(svg.parse(drawing))
    assert {"A", "majority", "fedavg, decisions"} <= set(words)
    assert "B" not in words  # no specificity
    assert "Hollow points: readers" in drawing.caption


def test_readers_of_the_only_site() -> None:
    tests = [a_test("fedavg", ALL_SITES, site) for site in ("a", ALL_SITES)]
    comparison = Comparison(analysis_of(tests, readers=[a_study("fedavg")]), [])
    assert "Hollow" in roc_curves(comparison)[0].caption


def test_many_readers_share_one_entry_of_the_legend() -> None:
    reader = a_study("fedavg").readers[0]
    readers = [reader.model_copy(update={"reader": f"r{i}"}) for i in range(NAMED_READERS + 1)]
    study = a_study("fedavg").model_copy(update={"readers": readers})
    analysis = analysis_of([a_test("fedavg", ALL_SITES, ALL_SITES)], readers=[study])
    words = svg.texts(svg.parse(roc_curves(Comparison(analysis, []))[0]))
    assert words.count("readers") == 1
    assert "r0" not in words


def test_readers_without_a_point_are_not_mentioned() -> None:
    nothing = estimate(None)
    study = a_study("fedavg").model_copy(
        update={"readers": a_study("fedavg").readers[1:2], "model_specificity": nothing}
    )
    analysis = analysis_of([a_test("fedavg", ALL_SITES, ALL_SITES)], readers=[study])
    assert "Hollow" not in roc_curves(Comparison(analysis, []))[0].caption


def test_many_test_sets_continue_in_further_figures() -> None:
    tests = [a_test("fedavg", ALL_SITES, f"s{i:02d}") for i in range(14)]  # 9, and 5 in 2 rows
    comparison = Comparison(analysis_of(tests), [])
    assert [d.name for d in roc_curves(comparison)] == ["roc-1", "roc-2"]
    assert [d.name for d in reliability_curves(comparison)] == ["calibration-1", "calibration-2"]


def test_no_curves_no_figure() -> None:
    comparison = Comparison(analysis_of([a_test("fedavg", ALL_SITES, "s", curves=False)]), [])
    assert roc_curves(comparison) == []
    assert reliability_curves(comparison) == []


def test_larger_marks_are_bins_with_more_cases() -> None:
    bins = [
        CalibrationBin(score=0.0, fraction=0.1, cases=90),
        CalibrationBin(score=0.5, fraction=0.5, cases=0),
        CalibrationBin(score=1.0, fraction=0.9, cases=10),
    ]
    one = Comparison(analysis_of([a_test("fedavg", ALL_SITES, "s", calibration=bins)]), [])
    (drawing,) = reliability_curves(one)
    line, *_ = svg.paths(svg.parse(drawing), stroke_width="0.8", stroke="#000000")
    assert len(line) == 2  # the empty bin is not drawn
    assert line[0][0] < line[1][0]
    assert line[0][1] > line[1][1]
    assert "all seeds together" in drawing.caption
    alone = one.analysis.tested[0].model_copy(update={"seeds": [0]})
    (drawing,) = reliability_curves(Comparison(analysis_of([alone]), []))
    assert "all seeds together" not in drawing.caption


def test_a_strategy_without_bins_at_one_site() -> None:
    tests = [a_test("fedavg", ALL_SITES, "s"), a_test("x", ALL_SITES, "t")]
    comparison = Comparison(analysis_of(tests), [])
    for (drawing,) in (reliability_curves(comparison), roc_curves(comparison)):
        assert {"s, n = 100", "t, n = 100", "fedavg", "x"} <= set(svg.texts(svg.parse(drawing)))


def test_line_styles_differ_and_the_reference_is_solid_black() -> None:
    names = [f"x{i}" for i in range(12)]
    styles = line_styles([*names, "fedavg"], "fedavg")
    assert next(iter(styles)) == "fedavg"
    assert (styles["fedavg"].colour, styles["fedavg"].dashes) == ("#000000", "-")
    assert len({(style.colour, str(style.dashes)) for style in styles.values()}) == 13
    for one, other in pairwise(styles.values()):
        assert one.dashes != other.dashes  # also without colour
        assert one.marker != other.marker
