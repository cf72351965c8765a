"""The ``ucadi`` command. ``run_sim.py`` starts experiments."""

import typer

from ucadi_flwr.commands import keys
from ucadi_flwr.commands.open_run import open_run
from ucadi_flwr.commands.personalise import personalise
from ucadi_flwr.commands.prepare import prepare
from ucadi_flwr.commands.provision import provision
from ucadi_flwr.commands.report import report
from ucadi_flwr.commands.seal import seal
from ucadi_flwr.commands.server import server
from ucadi_flwr.commands.site import site
from ucadi_flwr.commands.slices import slices
from ucadi_flwr.commands.status import status
from ucadi_flwr.commands.submit import submit
from ucadi_flwr.errors import reporting_errors

app = typer.Typer(
    help="Federated learning for chest imaging on Flower.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(keys.app, name="keys")
app.command("open")(open_run)
for command in (
    personalise,
    prepare,
    provision,
    report,
    seal,
    server,
    site,
    slices,
    status,
    submit,
):
    app.command()(command)


def main() -> None:
    """Run ``ucadi``, with errors in one line."""
    with reporting_errors():
        app()
