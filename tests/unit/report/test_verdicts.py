"""Marks and sentences: what was shown, and nothing that was not."""

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
        (-0.01, 0.03, 0.004, 0),  # the interval holds zero
        (0.01, 0.03, 0.05, 0),  # not below 5 %
        (0.01, 0.03, 0.0499, 1),
        (0.01, 0.03, None, 1),  # no p-value to correct: the interval alone
        (0.0, 0.03, 0.004, 0),
        (None, 0.03, 0.004, 0),
        (0.01, None, 0.004, 0),
    ],
)
def test_shown_is_an_interval_without_zero_and_a_corrected_p(
    low: float | None,
    high: float | None,
    corrected: float | None,
    expected: int,
    of: SimpleNamespace,
) -> None:
    found = of.difference("a", "b", ALL_SITES, of.estimate(0.0, low, high), 0.001, corrected)
    assert verdict(found, 0.95) == expected


def test_another_level_asks_for_another_p(of: SimpleNamespace) -> None:
    found = of.difference("a", "b", ALL_SITES, of.estimate(0.02, 0.01, 0.03), 0.02, 0.02)
    assert verdict(found, 0.95) == 1
    assert verdict(found, 0.99) == 0
    assert side(found) == 1


def test_marks_are_of_shown_differences_only(comparison: Comparison) -> None:
    marks = {
        site: [mark(comparison, strategy, site) for strategy in comparison.strategies]
        for site in (ALL_SITES, "a", "b")
    }
    # all: local is lower; ucadi is not. At a: ucadi is higher. At b: nothing is known.
    assert marks == {ALL_SITES: ["▼", "", ""], "a": ["", "", "▲"], "b": ["", "", ""]}


def test_a_mark_is_against_the_reference_and_corrected(of: SimpleNamespace) -> None:
    """What two other strategies are to each other has no mark."""
    tests = [of.tested(name, ALL_SITES, "s") for name in ("fedavg", "w", "x", "y", "z")]
    higher = of.estimate(0.02, 0.01, 0.03)
    found = [
        of.difference("w", "fedavg", "s", higher, 0.03, 0.09),
        of.difference("x", "fedavg", "s", higher, 0.001, 0.004),
        of.difference("fedavg", "y", "s", higher, 0.001, 0.004),
        of.difference("z", "y", "s", higher, 0.001, 0.004),
    ]
    comparison = Comparison(of.analysis(tests, differences=found), ["fedavg", "w", "x", "y", "z"])
    marks = [mark(comparison, name, "s") for name in comparison.strategies]
    assert marks == ["", "", "▲", "▼", ""]


def test_a_strategy_alone_has_no_mark(of: SimpleNamespace) -> None:
    comparison = Comparison(of.analysis([of.tested("fedavg", ALL_SITES, "s")]), [])
    assert mark(comparison, "fedavg", "s") == ""
    assert sentences(comparison) == []


def test_one_sentence_a_strategy(comparison: Comparison) -> None:
    assert sentences(comparison) == [
        "local against fedavg on all 100 cases: AUC −.050 (−.070 to −.030), p < .001, "
        "corrected < .001: local is lower.",
        "ucadi against fedavg on all 100 cases: AUC +.001 (−.004 to .006), p = .71, "
        "corrected 1: no difference was shown.",
    ]


def answer(of: SimpleNamespace, *found: object) -> str:
    difference = of.difference("x", "fedavg", "s", *found)
    tests = [of.tested("x", ALL_SITES, "s"), of.tested("x", ALL_SITES, "other")]
    analysis = of.analysis(tests, differences=[difference])
    comparison = Comparison(analysis, ["fedavg", "x"])
    del comparison.sets[0]  # "other"
    (sentence,) = sentences(comparison)
    start, _, rest = sentence.partition(": ")
    assert start == "x against fedavg on the 100 cases of s"
    return rest


def test_what_a_sentence_says_of_less(of: SimpleNamespace) -> None:
    higher = of.estimate(0.02, 0.01, 0.03)
    assert answer(of, higher, 0.001, 0.01).endswith("corrected .010: x is higher.")
    assert answer(of, higher, 0.02, 0.2).endswith(
        "corrected .20: no difference was shown once corrected."
    )
    assert answer(of, higher) == "AUC +.020 (.010 to .030): x is higher."
    assert answer(of, of.estimate(0.02), 0.02) == "AUC +.020, p = .020: no difference was shown."
    assert answer(of, of.estimate(None)) == "the difference in AUC is not defined."


def test_a_strategy_that_was_not_compared_is_told(of: SimpleNamespace) -> None:
    comparison = Comparison(of.analysis([of.tested("fedavg", ALL_SITES, "s")]), ["fedavg", "x"])
    assert sentences(comparison) == ["x against fedavg: not compared."]
    assert sentences(Comparison(of.analysis([]), ["fedavg", "x"])) == []
