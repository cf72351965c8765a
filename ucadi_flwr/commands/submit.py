"""``ucadi submit``: start a run in a federation, and follow it."""

from pathlib import Path
from typing import Annotated

import typer


def submit(
    kit: Annotated[Path, typer.Argument(help="The server's folder of the kit.")],
    task: Annotated[str, typer.Option(help="A task recipe, by its name.")],
    strategy: Annotated[str, typer.Option(help="A strategy recipe, by its name.")],
    out: Annotated[Path, typer.Option(help="A folder for the results, on the server's machine.")],
    rounds: Annotated[
        int, typer.Option(help="0: as many as make up the task's epochs.", min=0)
    ] = 0,
    seed: Annotated[int, typer.Option(help="Of the first model.", min=0)] = 0,
    sites: Annotated[
        int, typer.Option(help="How many sites to wait for before round 1; 0: all.", min=0)
    ] = 0,
    initial_model: Annotated[
        Path | None,
        typer.Option(help="Begin with this model; for an encrypted run one from ucadi seal."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with the run in --out from its last round.")
    ] = False,
    state: Annotated[Path | None, typer.Option(help="The --state of ucadi server.")] = None,
) -> None:
    """Run a task by a strategy, on the server's machine: flwr run APP --stream.

    Ctrl-C stops the run (flwr stop). Results are in OUT/server; an encrypted model is opened by a
    site with ucadi open. Whatever ended a run early, the same command with --resume goes on from
    its last whole round.
    """
    from ucadi_flwr.deployment.submit import Order
    from ucadi_flwr.deployment.submit import submit as run

    order = Order(task, strategy, out, rounds, seed, sites, resume, initial_model)
    for path in run(kit, state, order):
        print(path)
