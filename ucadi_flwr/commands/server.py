"""``ucadi server``: the server of a federation."""

from pathlib import Path
from typing import Annotated

import typer

from ucadi_flwr.deployment.server import LOOPBACK, serve


def server(
    kit: Annotated[Path, typer.Argument(help="The server's folder of the kit.")],
    state: Annotated[
        Path | None, typer.Option(help="Where runs and logs are kept, outside the kit.")
    ] = None,
    host: Annotated[str, typer.Option(help="Where to listen; 0.0.0.0 for everywhere.")] = LOOPBACK,
    port: Annotated[
        int | None, typer.Option(help="If not the kit's: behind a proxy.", min=1, max=65535)
    ] = None,
) -> None:
    """Run the server until Ctrl-C or SIGTERM: flower-superlink, then flwr supernode register.

    TLS and node authentication are on. Whoever reaches the port can submit a run: let hospitals
    reach /v1/fleet/ only (docs/deployment.md).
    """
    serve(kit, state, host, port, lambda line: print(line, flush=True))
