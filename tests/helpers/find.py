"""Find one row of an analysis."""

from ucadi_flwr.results.analysis import Analysis, Difference, Tested


def row(
    analysis: Analysis,
    strategy: str,
    tested_at: str = "all",
    trained_at: str = "all",
    unit: str = "scan",
) -> Tested:
    key = (strategy, trained_at, tested_at, unit)
    [row] = [t for t in analysis.tested if (t.strategy, t.trained_at, t.tested_at, t.unit) == key]
    return row


def difference(
    analysis: Analysis, a: str, tested_at: str, measure: str = "auc", unit: str = "scan"
) -> Difference:
    key = (a, tested_at, measure, unit)
    [row] = [d for d in analysis.differences if (d.a, d.tested_at, d.measure, d.unit) == key]
    return row
