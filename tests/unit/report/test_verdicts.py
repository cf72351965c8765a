"""Marks and sentences: a difference is reported only if it was shown."""

import pytest
from helpers.small_analysis import a_difference, a_test, analysis_of, estimate

from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.report.comparisons import Comparison
from ucadi_flwr.report.verdicts import mark, sentences, side, verdict
from ucadi_flwr.results.analysis import Estimate


@pytest.mark.parametrize(
    ("low", "high", "corrected", "expected"),
    [
        (0.01, 0.03, 0.004, 1),
        (-0.03, -0.01, 0.004, -1),
        (-0.01, 0.03, 0.004, 0),  # the interval includes zero
        (0.01, 0.03, 0.05, 0),  # not below 5 %
        (0.01, 0.03, 0.0499, 1),
        (0.01, 0.03, None, 1),  # no p-value to correct: the interval alone
        (0.0, 0.03, 0.004, 0),
        (None, 0.03, 0.004, 0),
        (0.01, None, 0.004, 0),
    ],
)
def test_a_difference_is_shown_by_its_interval_and_its_corrected_p(
    low: float | None,
    high: float | None,
    corrected: float | None,
    expected: int,
) -> None:
    difference = a_difference("a", "b", ALL_SITES, estimate(0.0, low, high), 0.001, corrected)
    assert verdict(difference, 0.95) == expected


def test_another_level_needs_another_p() -> None:
    difference = a_difference("a", "b", ALL_SITES, estimate(0.02, 0.01, 0.03), 0.02, 0.02)
    assert verdict(difference, 0.95) == 1
    assert verdict(difference, 0.99) == 0
    assert side(difference) == 1


def test_marks_are_of_shown_differences_only(comparison: Comparison) -> None:
    marks = {
        site: [mark(comparison, strategy, site) for strategy in comparison.strategies]
        for site in (ALL_SITES, "a", "b")
    }
    # all: local is lower, ucadi is not; at a: ucadi is higher; at b: no difference is defined
    assert marks == {ALL_SITES: ["▼", "", ""], "a": ["", "", "▲"], "b": ["", "", ""]}


def test_a_mark_is_against_the_reference_and_corrected() -> None:
    """A difference between two other strategies gives no mark."""
    tests = [a_test(name, ALL_SITES, "s") for name in ("fedavg", "w", "x", "y", "z")]
    higher = estimate(0.02, 0.01, 0.03)
    differences = [
        a_difference("w", "fedavg", "s", higher, 0.03, 0.09),
        a_difference("x", "fedavg", "s", higher, 0.001, 0.004),
        a_difference("fedavg", "y", "s", higher, 0.001, 0.004),
        a_difference("z", "y", "s", higher, 0.001, 0.004),
    ]
    comparison = Comparison(
        analysis_of(tests, differences=differences), ["fedavg", "w", "x", "y", "z"]
    )
    marks = [mark(comparison, name, "s") for name in comparison.strategies]
    assert marks == ["", "", "▲", "▼", ""]


def test_a_strategy_alone_has_no_mark() -> None:
    comparison = Comparison(analysis_of([a_test("fedavg", ALL_SITES, "s")]), [])
    assert mark(comparison, "fedavg", "s") == ""
    assert sentences(comparison) == []


def test_each_other_strategy_has_a_sentence(comparison: Comparison) -> None:
    assert sentences(comparison) == [
        "local compared with fedavg on all 100 cases: difference in AUC −.050 (−.070 to −.030), "
        "p < .001, corrected p < .001: local is lower.",
        "ucadi compared with fedavg on all 100 cases: difference in AUC +.001 (−.004 to .006), "
        "p = .71, corrected p = 1: no difference was shown.",
    ]


def sentence_of(
    difference: Estimate, p: float | None = None, corrected: float | None = None
) -> str:
    row = a_difference("x", "fedavg", "s", difference, p, corrected)
    tests = [a_test("x", ALL_SITES, "s"), a_test("x", ALL_SITES, "other")]
    analysis = analysis_of(tests, differences=[row])
    comparison = Comparison(analysis, ["fedavg", "x"])
    del comparison.sets[0]  # "other"
    (sentence,) = sentences(comparison)
    start, _, rest = sentence.partition(": ")
    assert start == "x compared with fedavg on the 100 cases of s"
    return rest


def test_sentences_with_missing_values() -> None:
    higher = estimate(0.02, 0.01, 0.03)
    assert sentence_of(higher, 0.001, 0.01).endswith("corrected p = .010: x is higher.")
    assert sentence_of(higher, 0.02, 0.2).endswith(
        "corrected p = .20: no difference was shown after correction."
    )
    assert sentence_of(higher) == "difference in AUC +.020 (.010 to .030): x is higher."
    assert sentence_of(estimate(0.02), 0.02) == (
        "difference in AUC +.020, p = .020: no difference was shown."
    )
    assert sentence_of(estimate(None)) == "the difference in AUC is not defined."


def test_a_strategy_that_was_not_compared_has_a_sentence() -> None:
    comparison = Comparison(analysis_of([a_test("fedavg", ALL_SITES, "s")]), ["fedavg", "x"])
    assert sentences(comparison) == ["x was not compared with fedavg on the 100 cases of s."]
    assert sentences(Comparison(analysis_of([]), ["fedavg", "x"])) == []
