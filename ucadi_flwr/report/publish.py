"""What an experiment's folder holds → analysis.json, tables, figures and report.html.

Everything here can be made again from results.json and the predictions.
"""

from pathlib import Path

from ucadi_flwr.comparison.analyse import analyse
from ucadi_flwr.report.csv_files import tables
from ucadi_flwr.report.figures import write_figures
from ucadi_flwr.report.page import write_report
from ucadi_flwr.results.analysis import Analysis, write_analysis
from ucadi_flwr.results.experiment import read_results


def publish(out: Path, readers: Path | None = None, reference: str | None = None) -> Path:
    """Write everything and return the report's path.

    ``readers`` is a readers.csv, ``reference`` the strategy that the others are compared with. An
    experiment without a finished run has a report and no analysis. Raises :class:`DataError`.
    """
    results = read_results(out / "results.json")
    analysis: Analysis | None = None
    if any(model.test for cell in results.cells if cell.error is None for model in cell.models):
        analysis = analyse(out, results, reference, readers)
        write_analysis(out / "analysis.json", analysis)
        folder = out / "tables"
        folder.mkdir(exist_ok=True)
        for name, text in tables(analysis).items():
            (folder / name).write_text(text, encoding="utf-8")
    write_figures(results, analysis, out / "figures")
    report = out / "report.html"
    write_report(results, report, analysis)
    return report
