"""Which strategies were shown to differ from the reference, as marks and as sentences."""

from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.report import formats
from ucadi_flwr.report.comparisons import Comparison, TestSet
from ucadi_flwr.results.analysis import Difference

HIGHER, LOWER = "▲", "▼"


def verdict(difference: Difference, level: float) -> int:
    """1 if ``a`` was shown to be higher than ``b``, −1 if lower, 0 if no difference was shown.

    A difference is shown if the interval excludes zero and the corrected p-value, where there is
    one, is below 1 − ``level``.
    """
    corrected = difference.p_holm
    return 0 if corrected is not None and corrected >= round(1 - level, 9) else side(difference)


def side(difference: Difference) -> int:
    """The side of zero on which the interval lies, 1 or −1; 0 if it includes zero or is unknown."""
    low, high = difference.difference.low, difference.difference.high
    if low is None or high is None:
        return 0
    return (low > 0) - (high < 0)


def mark(comparison: Comparison, strategy: str, site: str) -> str:
    """▲ or ▼ if the AUC was shown to be higher or lower than the reference's, else "".

    No mark says which strategy is best: strategies are compared with the reference, not with each
    other.
    """
    shown = _against(comparison, strategy, comparison.reference, site)
    return {1: HIGHER, -1: LOWER}.get(shown, "")


def sentences(comparison: Comparison) -> list[str]:
    """The comparison of every other strategy with the reference, on the main test set."""
    if comparison.main is None:
        return []
    return [
        _sentence(comparison, strategy, comparison.main)
        for strategy in comparison.strategies
        if strategy != comparison.reference
    ]


def _against(comparison: Comparison, strategy: str, other: str, site: str) -> int:
    difference = comparison.pairs.get((frozenset((strategy, other)), site))
    if difference is None:
        return 0
    shown = verdict(difference, comparison.analysis.level)
    return shown if difference.a == strategy else -shown


def _sentence(comparison: Comparison, strategy: str, at: TestSet) -> str:
    reference = comparison.reference
    where = f"on all {at.cases}" if at.site == ALL_SITES else f"on the {at.cases} of {at.site}"
    difference = comparison.pairs.get((frozenset((strategy, reference)), at.site))
    if difference is None:
        return f"{strategy} was not compared with {reference} {where}."
    result = _result(difference, comparison.analysis.level)
    return f"{difference.a} compared with {difference.b} {where}: {result}."


def _result(difference: Difference, level: float) -> str:
    estimate = difference.difference
    if estimate.mean is None:
        return "the difference in AUC is not defined"
    text = f"difference in AUC {formats.signed(estimate.mean)}"
    if estimate.low is not None or estimate.high is not None:
        text += f" ({formats.share(estimate.low)} to {formats.share(estimate.high)})"
    if difference.p is not None:
        text += f", {formats.p_equals(difference.p)}"
    if difference.p_holm is not None:
        text += f", corrected {formats.p_equals(difference.p_holm)}"
    shown = verdict(difference, level)
    if shown:
        return f"{text}: {difference.a} is {'higher' if shown > 0 else 'lower'}"
    corrected = " after correction" if side(difference) else ""
    return f"{text}: no difference was shown{corrected}"
