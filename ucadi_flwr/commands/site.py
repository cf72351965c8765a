"""``ucadi site``: run or check a hospital's node."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ucadi_flwr.deployment.checks import all_ok, check_site, results_table
from ucadi_flwr.deployment.site import supervise


def site(
    kit: Annotated[Path, typer.Argument(help="The site's folder of the kit.")],
    data: Annotated[Path, typer.Option(help="Folder of the site's images, with manifest.csv.")],
    state: Annotated[
        Path | None, typer.Option(help="Folder for caches and logs, outside the kit.")
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Processor threads for training. Default: all.", min=1)
    ] = None,
    only_check: Annotated[
        bool, typer.Option("--check", help="Check everything, print a table, and run nothing.")
    ] = False,
    task: Annotated[
        str | None, typer.Option(help="With --check: the task recipe to check.")
    ] = None,
    strategy: Annotated[
        str | None, typer.Option(help="With --check: the strategy recipe to check.")
    ] = None,
) -> None:
    """Run a site's node: flower-supernode, which is started again whenever it ends.

    The node trains on the images in --data when the server asks for it. It uses this
    installation's recipes, or those in tasks/ and strategies/ of the working folder. Ctrl-C or
    SIGTERM ends it.

    With --check nothing runs, and the exit status is 0 only if nothing is wrong.
    """
    if not only_check:
        supervise(kit, data, state, threads, lambda line: print(line, flush=True))
        return
    results = check_site(kit, data, state, task, strategy)
    Console().print(results_table(results))
    if not all_ok(results):
        raise typer.Exit(1)
