"""The report's figures: which there are, and their files."""

import re
from pathlib import Path

from ucadi_flwr.report import tables
from ucadi_flwr.report.comparisons import Comparison
from ucadi_flwr.report.figures.calibration import reliability_curves
from ucadi_flwr.report.figures.drawing import Drawing
from ucadi_flwr.report.figures.features import features
from ucadi_flwr.report.figures.forest import forest_plots
from ucadi_flwr.report.figures.heatmap import HeatRow, cross_site
from ucadi_flwr.report.figures.learning import learning_curves
from ucadi_flwr.report.figures.roc import roc_curves
from ucadi_flwr.results.analysis import Analysis
from ucadi_flwr.results.experiment import Results

FILES = re.compile(
    r"(forest-auc|forest-accuracy|roc|cross-site|features|learning|calibration)(-\d+)?"
)
"""What this module's files are called, without ``.svg`` and ``.png``."""


def draw(results: Results, analysis: Analysis | None) -> list[Drawing]:
    """Every figure that these results give, in the order of the page."""
    comparison = compare(results, analysis)
    curves = tables.curves(results)
    over_seeds = len({cell.seed for cell in results.cells}) > 1
    return [
        *(forest_plots(comparison) if comparison else []),
        *(roc_curves(comparison) if comparison else []),
        *_cross_site(results, comparison, over_seeds),
        *(features(comparison, results.task.classes) if comparison else []),
        *([learning_curves(curves, over_seeds)] if curves else []),
        *(reliability_curves(comparison) if comparison else []),
    ]


def compare(results: Results, analysis: Analysis | None) -> Comparison | None:
    """The analysis in the order of the experiment's strategies; None if nothing was tested."""
    if analysis is None or not analysis.tested:
        return None
    return Comparison(analysis, [cell.strategy.name for cell in results.cells])


def write_figures(results: Results, analysis: Analysis | None, folder: Path) -> list[Path]:
    """Write every figure as ``folder/NAME.svg`` and ``.png``; what an earlier call left goes.

    The folder is made if need be. Each file is replaced whole; other files are left alone.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = [path for drawing in draw(results, analysis) for path in drawing.write(folder)]
    for path in sorted(folder.iterdir()):
        ours = path.suffix in (".svg", ".png") and FILES.fullmatch(path.stem)
        if ours and path not in written:
            path.unlink()
    return written


def _cross_site(results: Results, comparison: Comparison | None, over_seeds: bool) -> list[Drawing]:
    if comparison is not None and (models := comparison.cross_rows()):
        sites = sorted({site for row in models for site in row.tests})
        rows = [
            HeatRow(row.label, row.trained_at, [row.auc(site).mean for site in sites])
            for row in models
        ]
        return [cross_site(rows, sites, over_seeds)]
    sites = [column.site for column in tables.columns(results)]
    finished = [row for row in tables.summary(results, "auc") if row.finished]
    rows = [
        HeatRow(row.label, row.trained_at, [row.sites[site].mean for site in sites])
        for row in finished
    ]
    return [cross_site(rows, sites, over_seeds)] if sites else []
