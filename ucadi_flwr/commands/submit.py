"""``ucadi submit``: start a run in a federation, and follow it to its end."""

from pathlib import Path
from typing import Annotated

import typer


def submit(
    kit: Annotated[Path, typer.Argument(help="The server's folder of the kit.")],
    task: Annotated[str, typer.Option(help="Name of the task recipe.")],
    strategy: Annotated[str, typer.Option(help="Name of the strategy recipe.")],
    out: Annotated[Path, typer.Option(help="Folder for the results, on the server's machine.")],
    rounds: Annotated[
        int, typer.Option(help="Number of rounds; 0: enough for the task's epochs.", min=0)
    ] = 0,
    seed: Annotated[
        int, typer.Option(help="Seed of the first model, the batches and the sampling.", min=0)
    ] = 0,
    sites: Annotated[
        int, typer.Option(help="How many sites to wait for before round 1; 0: all.", min=0)
    ] = 0,
    initial_model: Annotated[
        Path | None,
        typer.Option(help="Start from this model; for an encrypted run, a file of ucadi seal."),
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Continue the run in --out after its last round.")
    ] = False,
    state: Annotated[Path | None, typer.Option(help="The --state of ucadi server.")] = None,
) -> None:
    """Run a task by a strategy, on the server's machine: flwr run APP --stream.

    The results are in OUT/server. A site opens an encrypted model with ucadi open. Ctrl-C stops the
    run (flwr stop). If a run ended early, the same command with --resume continues it after its
    last complete round.
    """
    from ucadi_flwr.deployment.submit import RunRequest, submit_run

    request = RunRequest(
        task=task,
        strategy=strategy,
        out=out,
        rounds=rounds,
        seed=seed,
        sites=sites,
        resume=resume,
        initial=initial_model,
    )
    for path in submit_run(kit, state, request):
        print(path)
