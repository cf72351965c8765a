"""The report's figures: which there are, and their files."""

import re
from collections.abc import Iterable
from pathlib import Path

from ucadi_flwr.report.comparisons import Comparison
from ucadi_flwr.report.figures.drawing import Drawing
from ucadi_flwr.report.figures.forest import forest_plots
from ucadi_flwr.report.figures.heatmap import cross_site
from ucadi_flwr.report.figures.learning import learning_curves
from ucadi_flwr.report.figures.reliability import reliability_curves
from ucadi_flwr.report.figures.roc import roc_curves
from ucadi_flwr.report.figures.scatter import feature_plots
from ucadi_flwr.report.tables import loss_curves
from ucadi_flwr.results.experiment import Results

FILES = re.compile(
    r"(forest-auc|forest-accuracy|roc|cross-site|features|learning|calibration)(-\d+)?"
)
"""The names of this module's files, without ``.svg`` and ``.png``."""


def draw(results: Results, comparison: Comparison | None) -> list[Drawing]:
    """Draw every figure once, in the order of the page; the page and the files use the same ones.

    Without a comparison, only the training loss can be drawn.
    """
    curves = loss_curves(results)
    over_seeds = len({cell.seed for cell in results.cells}) > 1
    learning = [learning_curves(curves, over_seeds)] if curves else []
    if comparison is None:
        return learning
    return [
        *forest_plots(comparison),
        *roc_curves(comparison),
        cross_site(comparison, over_seeds),
        *feature_plots(comparison, results.task.classes),
        *learning,
        *reliability_curves(comparison),
    ]


def write_figures(drawings: Iterable[Drawing], folder: Path) -> list[Path]:
    """Write every figure as ``folder/NAME.svg`` and ``.png``; remove figures of an earlier call.

    The folder is created if it does not exist. Each file is replaced atomically; files of other
    names stay.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = [path for drawing in drawings for path in drawing.write(folder)]
    for path in sorted(folder.iterdir()):
        is_figure = path.suffix in (".svg", ".png") and FILES.fullmatch(path.stem)
        if is_figure and path not in written:
            path.unlink()
    return written
