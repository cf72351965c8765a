"""Marks and sentences: a difference is reported only if it was shown."""

from types import SimpleNamespace

import pytest

from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.report.comparisons import Comparison
from ucadi_flwr.report.verdicts import mark, sentences, side, verdict


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
    of: SimpleNamespace,
) -> None:
    difference = of.difference("a", "b", ALL_SITES, of.estimate(0.0, low, high), 0.001, corrected)
    assert verdict(difference, 0.95) == expected


def test_another_level_needs_another_p(of: SimpleNamespace) -> None:
    difference = of.difference("a", "b", ALL_SITES, of.estimate(0.02, 0.01, 0.03), 0.02, 0.02)
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


def test_a_mark_is_against_the_reference_and_corrected(of: SimpleNamespace) -> None:
    """A difference between two other strategies gives no mark."""
    tests = [of.tested(name, ALL_SITES, "s") for name in ("fedavg", "w", "x", "y", "z")]
    higher = of.estimate(0.02, 0.01, 0.03)
    differences = [
        of.difference("w", "fedavg", "s", higher, 0.03, 0.09),
        of.difference("x", "fedavg", "s", higher, 0.001, 0.004),
        of.difference("fedavg", "y", "s", higher, 0.001, 0.004),
        of.difference("z", "y", "s", higher, 0.001, 0.004),
    ]
    comparison = Comparison(
        of.analysis(tests, differences=differences), ["fedavg", "w", "x", "y", "z"]
    )
    marks = [mark(comparison, name, "s") for name in comparison.strategies]
    assert marks == ["", "", "▲", "▼", ""]


def test_a_strategy_alone_has_no_mark(of: SimpleNamespace) -> None:
    comparison = Comparison(of.analysis([of.tested("fedavg", ALL_SITES, "s")]), [])
    assert mark(comparison, "fedavg", "s") == ""
    assert sentences(comparison) == []


def test_each_other_strategy_has_a_sentence(comparison: Comparison) -> None:
    assert sentences(comparison) == [
        "local compared with fedavg on all 100 cases: difference in AUC −.050 (−.070 to −.030), "
        "p < .001, corrected p < .001: local is lower.",
        "ucadi compared with fedavg on all 100 cases: difference in AUC +.001 (−.004 to .006), "
        "p = .71, corrected p = 1: no difference was shown.",
    ]


def sentence_of(of: SimpleNamespace, *values: object) -> str:
    difference = of.difference("x", "fedavg", "s", *values)
    tests = [of.tested("x", ALL_SITES, "s"), of.tested("x", ALL_SITES, "other")]
    analysis = of.analysis(tests, differences=[difference])
    comparison = Comparison(analysis, ["fedavg", "x"])
    del comparison.sets[0]  # "other"
    (sentence,) = sentences(comparison)
    start, _, rest = sentence.partition(": ")
    assert start == "x compared with fedavg on the 100 cases of s"
    return rest


def test_sentences_with_missing_values(of: SimpleNamespace) -> None:
    higher = of.estimate(0.02, 0.01, 0.03)
    assert sentence_of(of, higher, 0.001, 0.01).endswith("corrected p = .010: x is higher.")
    assert sentence_of(of, higher, 0.02, 0.2).endswith(
        "corrected p = .20: no difference was shown after correction."
    )
    assert sentence_of(of, higher) == "difference in AUC +.020 (.010 to .030): x is higher."
    assert sentence_of(of, of.estimate(0.02), 0.02) == (
        "difference in AUC +.020, p = .020: no difference was shown."
    )
    assert sentence_of(of, of.estimate(None)) == "the difference in AUC is not defined."


def test_a_strategy_that_was_not_compared_has_a_sentence(of: SimpleNamespace) -> None:
    comparison = Comparison(of.analysis([of.tested("fedavg", ALL_SITES, "s")]), ["fedavg", "x"])
    assert sentences(comparison) == ["x was not compared with fedavg on the 100 cases of s."]
    assert sentences(Comparison(of.analysis([]), ["fedavg", "x"])) == []
