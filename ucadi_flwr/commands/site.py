"""``ucadi site``: a hospital's node."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ucadi_flwr.deployment.checks import all_fine, check, table
from ucadi_flwr.deployment.site import supervise


def site(
    kit: Annotated[Path, typer.Argument(help="The site's folder of the kit.")],
    data: Annotated[Path, typer.Option(help="The site's images, with their manifest.")],
    state: Annotated[
        Path | None, typer.Option(help="Where caches and logs are kept, outside the kit.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Processor threads for training; all unless given.", min=1)
    ] = None,
    only_check: Annotated[
        bool, typer.Option("--check", help="Only say what is fine and what is not.")
    ] = False,
    task: Annotated[str | None, typer.Option(help="With --check: a task recipe.")] = None,
    strategy: Annotated[str | None, typer.Option(help="With --check: a strategy recipe.")] = None,
) -> None:
    """Run a site's node until Ctrl-C or SIGTERM: flower-supernode, started again when it ends.

    It trains on the images in --data whenever the server asks. Recipes are those of this
    installation, or of tasks/ and strategies/ in the working folder. --check runs nothing and
    ends with status 0 only if nothing is wrong.
    """
    if not only_check:
        supervise(kit, data, state, threads, lambda line: print(line, flush=True))
        return
    rows = check(kit, data, state, task, strategy)
    Console().print(table(rows))
    if not all_fine(rows):
        raise typer.Exit(1)
