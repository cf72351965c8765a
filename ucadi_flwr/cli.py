"""The ``ucadi`` command. Experiments are started with ``run_sim.py``."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from ucadi_flwr.commands import keys
from ucadi_flwr.commands.bar import progress_bar
from ucadi_flwr.commands.open_run import open_run
from ucadi_flwr.commands.personalise import personalise
from ucadi_flwr.commands.provision import provision
from ucadi_flwr.commands.seal import seal
from ucadi_flwr.commands.server import server
from ucadi_flwr.commands.site import site
from ucadi_flwr.commands.slices import slices
from ucadi_flwr.commands.status import status
from ucadi_flwr.commands.submit import submit
from ucadi_flwr.data.prepare import prepare as prepare_tree
from ucadi_flwr.data.series import MIN_SLICES
from ucadi_flwr.errors import UcadiError
from ucadi_flwr.report.events import write_events
from ucadi_flwr.report.results import read_results

app = typer.Typer(
    help="Federated learning for chest imaging on Flower.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


app.add_typer(keys.app, name="keys")
app.command("open")(open_run)
for command in (personalise, provision, seal, server, site, slices, submit, status):
    app.command()(command)


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
def prepare(
    source: Annotated[
        Path, typer.Option("--input", help="A folder of DICOM files, in any order and depth.")
    ],
    output: Annotated[Path, typer.Option(help="A new folder, for the images and manifest.csv.")],
    min_slices: Annotated[
        int, typer.Option(help="Series with fewer slices are left out.")
    ] = MIN_SLICES,
) -> None:
    """Turn a hospital's DICOM tree into NIfTI files and a manifest, without identifiers."""
    with progress_bar("reading headers", "series") as advance:
        result = prepare_tree(source, output, min_slices, advance)
    print(result.summary())


@app.command()
def report(
    out: Annotated[Path, typer.Argument(help="The folder of an experiment, with results.json.")],
    readers: Annotated[
        Path | None, typer.Option(help="Readers' calls, a CSV with case, reader and call.")
    ] = None,
    reference: Annotated[
        str | None, typer.Option(help="The strategy that the others are compared with.")
    ] = None,
    tensorboard: Annotated[
        Path | None, typer.Option(help="A new folder, for TensorBoard's event files.")
    ] = None,
) -> None:
    """Compute analysis, tables, figures and report.html again from what is stored."""
    from ucadi_flwr.publish import publish

    if tensorboard is not None:
        write_events(read_results(out / "results.json"), tensorboard)
    print(f"report: {publish(out, readers, reference)}")


def main() -> None:
    """Entry point of ``ucadi``."""
    with reporting_errors():
        app()
