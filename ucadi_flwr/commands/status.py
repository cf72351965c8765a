"""``ucadi status``: a federation at a glance."""

import json
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ucadi_flwr.deployment.status import run_line, table
from ucadi_flwr.deployment.status import status as ask


def status(
    kit: Annotated[Path, typer.Argument(help="The server's folder of the kit.")],
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
    state: Annotated[Path | None, typer.Option(help="The --state of ucadi server.")] = None,
) -> None:
    """Say which sites are online and how far the run is: flwr supernode list, and the journal.

    The exit status is 1 if the server does not answer.
    """
    found = ask(kit, state)
    if as_json:
        print(json.dumps(found.as_dict(), indent=2, ensure_ascii=False))
    else:
        console = Console()
        console.print(table(found))
        console.print(run_line(found), markup=False, highlight=False)
        if found.problem:
            console.print(f"the server does not answer: {found.problem}", markup=False)
    if found.problem:
        raise typer.Exit(1)
