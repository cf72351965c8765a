"""Results → one HTML page that stands by itself: no script, no request, no second file."""

from itertools import chain
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from ucadi_flwr.report import figures, tables
from ucadi_flwr.report.results import RecipeRef, Results

SITES_PER_TABLE = 5
"""Columns of test sites that fit on A4; more continue in a further table."""


def write_report(results: Results, path: Path) -> None:
    """Write the page atomically: ``path`` is the old page or the whole new one."""
    page = render(results).encode()
    partial = path.with_name(f"{path.name}.partial")
    partial.write_bytes(page)
    partial.replace(path)


def render(results: Results) -> str:
    """The page as text; the same results give the same text."""
    environment = Environment(
        loader=PackageLoader("ucadi_flwr.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["number"] = number
    columns = tables.columns(results)
    auc = tables.summary(results, "auc")
    decisions = {
        "Sensitivity": tables.summary(results, "sensitivity"),
        "Specificity": tables.summary(results, "specificity"),
        "Accuracy": tables.summary(results, "accuracy"),
    }
    curves = tables.curves(results)
    tested = [row for row in auc if row.finished]
    blocks = [columns[i : i + SITES_PER_TABLE] for i in range(0, len(columns), SITES_PER_TABLE)]
    return environment.get_template("page.html.j2").render(
        results=results,
        strategies=list(dict.fromkeys(cell.strategy.name for cell in results.cells)),
        seeds=sorted({cell.seed for cell in results.cells}),
        failed=[cell for cell in results.cells if cell.error is not None],
        blocks=blocks,
        auc={"AUC": auc},
        decisions=decisions,
        has_own=any(row.trained_at != tables.EVERYONE for row in auc),
        has_gaps=any(
            stat.mean is None
            for row in chain(auc, *decisions.values())
            for stat in (row.overall, *row.sites.values())
            if row.finished
        ),
        cross_site=figures.cross_site(tested, columns) if columns else None,
        learning=figures.learning_curves(curves) if curves else None,
        costs=tables.costs(results),
        absences=tables.absences(results),
        cases=tables.cases(results),
        recipes=recipes(results),
        everyone=tables.EVERYONE,
    )


def recipes(results: Results) -> list[tuple[str, RecipeRef]]:
    """Kind and reference of every recipe: the task, then each strategy once."""
    strategies = dict.fromkeys(cell.strategy for cell in results.cells)
    return [("task", results.task), *(("strategy", strategy) for strategy in strategies)]


def number(value: float, decimals: int = 0) -> str:
    """12345.67 → "12,345.7" with one decimal."""
    return f"{value:,.{decimals}f}"
