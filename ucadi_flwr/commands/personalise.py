"""``ucadi personalise``: a hospital takes a model over and makes it its own."""

import signal
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from ucadi_flwr.data.sites import Site
from ucadi_flwr.errors import DataError, RecipeError
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe


def personalise(
    task: Annotated[str, typer.Option(help="The task recipe: a name or a file.")],
    strategy: Annotated[str, typer.Option(help="A strategy recipe with tailoring, such as ftl.")],
    data: Annotated[Path, typer.Option(help="The hospital's images, with their manifest.")],
    out: Annotated[Path, typer.Option(help="The new model, a .safetensors file.")],
    model: Annotated[
        Path | None, typer.Option(help="A model of this task, as a run or ucadi open writes it.")
    ] = None,
    initial: Annotated[
        Path | None,
        typer.Option(help="Instead: a checkpoint of the network, such as ImageNet's, as it is."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of batches, and of what is new.", min=0)] = 0,
) -> None:
    """Tailor a model to one hospital (Yang et al., FTL); no server is asked, nothing leaves.

    It is tested on the hospital's own test cases before and after.
    """
    import torch

    from ucadi_flwr.models.files import save_site_model
    from ucadi_flwr.site.personalisation import open_hospital, open_model, tailor, tested
    from ucadi_flwr.training.freezing import select_trainable

    recipe, found = loader.load(TaskRecipe, task), loader.load(StrategyRecipe, strategy)
    if found.personalisation is None:
        raise RecipeError(f"strategy {found.name} has no section tailoring; choose ftl, or add one")
    if out.suffix != ".safetensors":
        raise DataError(f"{out}: the new model is a .safetensors file; name it so")
    if out.exists():
        raise DataError(f"{out} exists already; it is not overwritten")
    site = open_hospital(data, recipe, _warn)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network, notes = open_model(recipe, model, initial, seed)
    trained = select_trainable(network, found.personalisation.fine_tune)
    for note in notes:
        _warn(note)
    network.to(device)
    every = sum(p.numel() for p in network.parameters())
    some = sum(p.numel() for name, p in network.named_parameters() if name in trained)
    print(f"{site.name}: {_cases(site)}; {some:,} of {every:,} parameters train")
    signal.signal(signal.SIGTERM, _leave)  # so that the cache goes: it holds patients' images
    with tempfile.TemporaryDirectory(prefix="ucadi-cache-") as folder:
        cache = Path(folder)
        print(f"before: {tested(network, site, recipe, cache, device)}", flush=True)
        loss = tailor(
            network,
            site,
            recipe,
            found.personalisation,
            cache=cache,
            seed=seed,
            epochs_before=recipe.training.epochs,
            device=device,
        )
        print(f"after {found.personalisation.epochs} epochs, loss {loss:.4f}")
        print(f"after: {tested(network, site, recipe, cache, device)}")
    save_site_model(out, network, recipe, site.name)
    print(f"model: {out}")


def _cases(site: Site) -> str:
    return f"{len(site.parts['train'])} cases to train, {len(site.parts['test'])} to test"


def _leave(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)
