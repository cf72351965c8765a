"""``ucadi status``: the sites of a federation and its last run."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ucadi_flwr.deployment.status import read_status, run_line, sites_table


def status(
    kit: Annotated[Path, typer.Argument(help="The server's folder of the kit.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for programs.")] = False,
    state: Annotated[Path | None, typer.Option(help="The --state of ucadi server.")] = None,
) -> None:
    """Show which sites are online (flwr supernode list) and how far the last run is (its journal).

    The exit status is 1 if the server does not answer.
    """
    federation = read_status(kit, state)
    if as_json:
        print(json.dumps(federation.as_dict(), indent=2, ensure_ascii=False))
    else:
        console = Console()
        console.print(sites_table(federation))
        console.print(run_line(federation), markup=False, highlight=False)
        if federation.problem:
            console.print(f"the server does not answer: {federation.problem}", markup=False)
    if federation.problem:
        raise typer.Exit(1)
