"""Results and their analysis → one HTML page: no script, no request, no second file."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ucadi_flwr.report import comparisons, details, figures, formats, tables, verdicts
from ucadi_flwr.report.comparisons import Comparison
from ucadi_flwr.report.costs import costs
from ucadi_flwr.results.analysis import Analysis
from ucadi_flwr.results.experiment import RecipeRef, Results

SITES_PER_TABLE = 5
"""Columns of test sites that fit on A4; more continue in a further table."""


@dataclass(frozen=True)
class Section:
    """A section of the page: ``templates/<name>.html.j2`` under its title."""

    name: str
    link: str
    title: str


class Numbers:
    """Tables and figures are numbered as they come."""

    def __init__(self) -> None:
        self._last: Counter[str] = Counter()

    def next(self, kind: str) -> str:
        """The next of a kind: "Table 1", then "Table 2"."""
        self._last[kind] += 1
        return f"{kind} {self._last[kind]}"


def write_report(results: Results, path: Path, analysis: Analysis | None = None) -> None:
    """Write the page atomically: ``path`` is the old page or the whole new one."""
    page = render(results, analysis).encode()
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(page)
    partial.replace(path)


def render(results: Results, analysis: Analysis | None = None) -> str:
    """The page as text; the same results and analysis give the same text.

    Without an analysis the page has the figures of ``results``, without intervals or comparisons.
    """
    environment = Environment(
        loader=PackageLoader("ucadi_flwr.report", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    for name in ("number", "share", "signed", "p_value"):
        environment.filters[name] = getattr(formats, name)
    comparison = figures.compare(results, analysis)
    context = _context(results, comparison)
    context["warnings"] = _warnings(results, analysis) if analysis else []
    drawings = figures.draw(results, analysis)
    context["drawings"] = {
        group: [drawing for drawing in drawings if drawing.group == group]
        for group in ("forest", "roc", "cross-site", "features", "learning", "calibration")
    }
    sections = list(_sections(context, comparison))
    return environment.get_template("page.html.j2").render(context, sections=sections)


def recipes(results: Results) -> list[tuple[str, RecipeRef]]:
    """Kind and reference of every recipe: the task, then each strategy once."""
    strategies = dict.fromkeys(cell.strategy for cell in results.cells)
    return [("task", results.task), *(("strategy", strategy) for strategy in strategies)]


def _warnings(results: Results, analysis: Analysis) -> list[str]:
    """Without those of failed runs, which the page tells by itself."""
    failed = tuple(
        f"{cell.strategy.name}, seed {cell.seed} failed"
        for cell in results.cells
        if cell.error is not None
    )
    return [warning for warning in analysis.warnings if not warning.startswith(failed)]


def _context(results: Results, comparison: Comparison | None) -> dict[str, Any]:
    columns = tables.columns(results)
    auc = tables.summary(results, "auc")
    decisions = {
        "Sensitivity": tables.summary(results, "sensitivity"),
        "Specificity": tables.summary(results, "specificity"),
        "Accuracy": tables.summary(results, "accuracy"),
    }
    started = Counter(cell.strategy.name for cell in results.cells)
    failed = [cell for cell in results.cells if cell.error is not None]
    folds = tables.folds(results)
    return {
        "results": results,
        "task": results.task,
        "comparison": comparison,
        "strategies": list(started),
        "seeds": sorted({cell.seed for cell in results.cells}),
        "started": started,
        "failures": Counter(cell.strategy.name for cell in failed),
        "failed": failed,
        "columns": [
            columns[i : i + SITES_PER_TABLE] for i in range(0, len(columns), SITES_PER_TABLE)
        ],
        "auc": {"AUC": auc},
        "decisions": decisions,
        "has_own": any(row.trained_at != tables.EVERYONE for row in auc),
        "has_gaps": any(
            stat.mean is None
            for row in chain(auc, *decisions.values())
            for stat in (row.overall, *row.sites.values())
            if row.finished
        ),
        "costs": costs(results),
        "absences": tables.absences(results),
        "cases": tables.cases(results),
        "folds": folds,
        "fold_numbers": sorted({fold for row in folds for fold in row.scores}),
        "image_bytes": sum(site.train_bytes for site in results.sites.values()),
        "recipes": recipes(results),
        "everyone": tables.EVERYONE,
        "numbers": Numbers(),
        "figure_of": comparisons.figure,
        "name_of": comparisons.name_of,
        "details": details,
        "verdicts": verdicts,
        "interval": formats.interval,
        "per_table": SITES_PER_TABLE,
    }


def _sections(context: dict[str, Any], comparison: Comparison | None) -> Iterator[Section]:
    """The sections that there is something to say in, in order."""
    drawings = context["drawings"]
    positive = context["task"].positive_class
    yield Section("summary", "Summary", f"How well the models tell {positive} from the rest")
    if context["warnings"] or context["failed"]:
        yield Section("problems", "Warnings", "Warnings")
    if comparison and drawings["forest"]:
        yield Section("forest", "Differences", f"Differences from {comparison.reference}")
    if drawings["roc"]:
        yield Section("roc", "ROC", "ROC curves")
    if drawings["cross-site"]:
        yield Section("cross-site", "Sites × models", "Every model at every site")
    if comparison and comparison.analysis.embeddings:
        yield Section("features", "Features", "What the models see alike")
    yield Section("learning", "Training", "Training")
    if comparison or context["columns"]:
        yield Section("decisions", "Decisions", "Decisions")
    if comparison:
        yield Section("calibration", "Calibration", "Calibration")
    if comparison and details.binned(comparison):
        yield Section("binned", "Binned AUC", "What a federation would report")
    if comparison and comparison.analysis.readers:
        yield Section("readers", "Readers", "Readers")
    if context["folds"]:
        yield Section("folds", "Folds", "Cross-validation")
    yield Section("costs", "Costs", "Costs")
    yield Section("participation", "Participation", "Participation")
    yield Section("sites", "Sites", "Sites")
    if comparison and comparison.analysis.differences:
        yield Section("differences", "All differences", "All differences")
    yield Section("provenance", "Provenance", "Provenance")
