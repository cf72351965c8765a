"""The folder of an experiment → analysis.json, tables, figures and report.html.

Everything here can be made again from results.json and the predictions.
"""

from pathlib import Path

from ucadi_flwr.comparison.analyse import analyse
from ucadi_flwr.files.atomic import replacing
from ucadi_flwr.report.comparisons import Comparison
from ucadi_flwr.report.csv_files import csv_texts
from ucadi_flwr.report.figures import draw, write_figures
from ucadi_flwr.report.page import write_report
from ucadi_flwr.results.analysis import write_analysis
from ucadi_flwr.results.experiment import read_results
from ucadi_flwr.results.layout import ExperimentFolder


def publish(out: Path, readers: Path | None = None, reference: str | None = None) -> Path:
    """Write all of it and return the path of report.html.

    If no run finished with a test, there is nothing to analyse: the report then lists the errors.

    Args:
        out: the folder of the experiment, with results.json.
        readers: a readers.csv (:mod:`ucadi_flwr.results.readers`).
        reference: the strategy that the others are compared with.

    Raises:
        DataError: a file is missing, broken or does not belong to this experiment.
    """
    folder = ExperimentFolder(out)
    results = read_results(folder.results)
    comparison: Comparison | None = None
    if any(model.test for cell in results.cells if cell.error is None for model in cell.models):
        analysis = analyse(out, results, reference, readers)
        write_analysis(folder.analysis, analysis)
        folder.tables.mkdir(exist_ok=True)
        for name, text in csv_texts(analysis).items():
            with replacing(folder.tables / name) as partial:
                partial.write_text(text, encoding="utf-8")
        comparison = Comparison(analysis, [cell.strategy.name for cell in results.cells])
    drawings = draw(results, comparison)
    write_figures(drawings, folder.figures)
    write_report(folder.report, results, comparison, drawings)
    return folder.report
