"""``ucadi report``: compute analysis, tables, figures and report.html from stored results."""

from pathlib import Path
from typing import Annotated

import typer

from ucadi_flwr.report.events import write_events
from ucadi_flwr.results.experiment import read_results
from ucadi_flwr.results.layout import ExperimentFolder


def report(
    out: Annotated[Path, typer.Argument(help="The folder of an experiment, with results.json.")],
    readers: Annotated[
        Path | None, typer.Option(help="Readers' calls: a CSV with columns case, reader and call.")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="The strategy that the others are compared with.")
    ] = None,
    tensorboard: Annotated[
        Path | None, typer.Option(help="A new folder, for TensorBoard's event files.")
    ] = None,
) -> None:
    """Compute analysis, tables, figures and report.html again from stored results."""
    from ucadi_flwr.report.publish import publish

    if tensorboard is not None:
        write_events(read_results(ExperimentFolder(out).results), tensorboard)
    print(f"report: {publish(out, readers, reference)}")
