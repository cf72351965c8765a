"""The ``ucadi`` command. Experiments are started with ``run_sim.py``."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from ucadi_flwr.errors import UcadiError
from ucadi_flwr.report.page import write_report
from ucadi_flwr.report.results import read_results

app = typer.Typer(
    help="Federated learning for chest imaging on Flower.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@contextmanager
def reporting_errors() -> Iterator[None]:
    """What a user can mend becomes one line on standard error and exit status 2."""
    try:
        yield
    except UcadiError as error:
        line = " ".join(str(error).split())
        print(f"error: {line}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        raise SystemExit(130) from None


@app.command()
def report(
    out: Annotated[Path, typer.Argument(help="The folder of an experiment, with results.json.")],
) -> None:
    """Write report.html again from results.json."""
    page = out / "report.html"
    write_report(read_results(out / "results.json"), page)
    print(f"report: {page}")


def main() -> None:
    """Entry point of ``ucadi``."""
    with reporting_errors():
        app()
