"""Results and their analysis → one HTML page: no script, no request, no second file."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from ucadi_flwr.files.atomic import replacing
from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.report import comparisons, details, formats, tables, verdicts
from ucadi_flwr.report.comparisons import Comparison
from ucadi_flwr.report.costs import costs
from ucadi_flwr.report.figures.drawing import Drawing
from ucadi_flwr.results.experiment import RecipeRef, Results

SITES_PER_TABLE = 5
"""Columns of test sites that fit on A4; further sites are in a further table."""


@dataclass(frozen=True)
class Section:
    """A section of the page: ``templates/<name>.html.j2`` under its title."""

    name: str
    link: str
    title: str


class Numbering:
    """Numbers tables and figures in the order in which the templates show them."""

    def __init__(self) -> None:
        self._last: Counter[str] = Counter()

    def next(self, kind: str) -> str:
        """The next of a kind: "Table 1", then "Table 2"."""
        self._last[kind] += 1
        return f"{kind} {self._last[kind]}"


def write_report(
    path: Path, results: Results, comparison: Comparison | None, drawings: Sequence[Drawing]
) -> None:
    """Write the page (:func:`render`) atomically: ``path`` is the old page or the new page."""
    page = render(results, comparison, drawings)
    with replacing(path) as partial:
        partial.write_bytes(page.encode())


def render(
    results: Results, comparison: Comparison | None, drawings: Sequence[Drawing] = ()
) -> str:
    """The page as text; the same arguments give the same text.

    Args:
        results: the experiment.
        comparison: its analysis; None if no run finished with a test. The page then lists the
            task, the sites, the errors of the runs and the environment.
        drawings: the figures (:func:`ucadi_flwr.report.figures.draw`), in the order of the page.
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
    context = _context(results, comparison, drawings)
    sections = list(_sections(context, comparison))
    return environment.get_template("page.html.j2").render(context, sections=sections)


def recipes(results: Results) -> list[tuple[str, RecipeRef]]:
    """Kind and reference of every recipe: the task, then each strategy once."""
    strategies = dict.fromkeys(cell.strategy for cell in results.cells)
    return [("task", results.task), *(("strategy", strategy) for strategy in strategies)]


def _warnings(results: Results, comparison: Comparison | None) -> list[str]:
    """The warnings of the analysis, without those of failed runs: the page lists these itself."""
    failed = tuple(
        f"{cell.strategy.name}, seed {cell.seed} failed"
        for cell in results.cells
        if cell.error is not None
    )
    warnings = comparison.analysis.warnings if comparison else []
    return [warning for warning in warnings if not warning.startswith(failed)]


def _context(
    results: Results, comparison: Comparison | None, drawings: Sequence[Drawing]
) -> dict[str, Any]:
    started = Counter(cell.strategy.name for cell in results.cells)
    failed = [cell for cell in results.cells if cell.error is not None]
    folds = tables.fold_rows(results)
    return {
        "results": results,
        "task": results.task,
        "comparison": comparison,
        "warnings": _warnings(results, comparison),
        "drawings": {
            group: [drawing for drawing in drawings if drawing.group == group]
            for group in ("forest", "roc", "cross-site", "features", "learning", "calibration")
        },
        "strategies": list(started),
        "seeds": sorted({cell.seed for cell in results.cells}),
        "started": started,
        "failures": Counter(cell.strategy.name for cell in failed),
        "failed": failed,
        "costs": costs(results),
        "absences": tables.absences(results),
        "cases": tables.case_counts(results),
        "folds": folds,
        "fold_numbers": sorted({fold for row in folds for fold in row.scores}),
        "image_bytes": sum(site.train_bytes for site in results.sites.values()),
        "recipes": recipes(results),
        "all_sites": ALL_SITES,
        "numbers": Numbering(),
        "measure_of": comparisons.measure_of,
        "name_of": comparisons.name_of,
        "details": details,
        "verdicts": verdicts,
        "interval": formats.interval,
        "per_table": SITES_PER_TABLE,
    }


def _sections(context: dict[str, Any], comparison: Comparison | None) -> Iterator[Section]:
    """The sections that have content, in order."""
    drawings = context["drawings"]
    positive = context["task"].positive_class
    yield Section("summary", "Summary", f"How well the models separate {positive} from other cases")
    if context["warnings"] or context["failed"]:
        yield Section("problems", "Warnings", "Warnings")
    if comparison and drawings["forest"]:
        yield Section("forest", "Differences", f"Differences from {comparison.reference}")
    if drawings["roc"]:
        yield Section("roc", "ROC", "ROC curves")
    if comparison:
        yield Section("cross-site", "Sites × models", "Every model at every site")
    if comparison and comparison.analysis.embeddings:
        yield Section("features", "Features", "Test cases with similar features")
    yield Section("learning", "Training", "Training")
    if comparison:
        yield Section("decisions", "Decisions", "Decisions")
        yield Section("calibration", "Calibration", "Calibration")
    if comparison and details.binned(comparison):
        yield Section("binned", "Binned AUC", "AUC from counts, as in a real federation")
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
