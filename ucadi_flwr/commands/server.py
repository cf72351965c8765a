"""``ucadi server``: run the server of a federation."""

from pathlib import Path
from typing import Annotated

import typer

from ucadi_flwr.deployment.server import LOOPBACK, serve


def server(
    kit: Annotated[Path, typer.Argument(help="The server's folder of the kit.")],
    state: Annotated[
        Path | None, typer.Option(help="Folder for the database and logs, outside the kit.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen at; 0.0.0.0 is every interface.")
    ] = LOOPBACK,
    port: Annotated[
        int | None,
        typer.Option(
            help="Port to listen at, behind a proxy. Default: the kit's.", min=1, max=65535
        ),
    ] = None,
) -> None:
    """Run the server: flower-superlink, then flwr supernode register for each new site of the kit.

    TLS and node authentication are on. Whoever reaches the port can submit a run, so let hospitals
    reach /v1/fleet/ only (docs/deployment.md). Ctrl-C or SIGTERM ends the server.
    """
    serve(kit, state, host, port, lambda line: print(line, flush=True))
