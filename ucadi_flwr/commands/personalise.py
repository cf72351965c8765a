"""``ucadi personalise``: adapt a model to one hospital."""

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
    task: Annotated[str, typer.Option(help="Name or file of the task recipe.")],
    strategy: Annotated[
        str, typer.Option(help="A strategy recipe with a section tailoring, such as ftl.")
    ],
    data: Annotated[Path, typer.Option(help="Folder of the hospital's images, with manifest.csv.")],
    out: Annotated[Path, typer.Option(help="The new model, a .safetensors file.")],
    model: Annotated[
        Path | None,
        typer.Option(help="Start from a model of this task, of a run or of ucadi open."),
    ] = None,
    initial: Annotated[
        Path | None,
        typer.Option(help="Or start from a checkpoint of the network, such as ImageNet's."),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the batches and of new layers.", min=0)] = 0,
) -> None:
    """Train a model further on one hospital's images (Yang et al., FTL), without any server.

    The model is tested on the hospital's own test cases before and after. No image leaves this
    machine.
    """
    import torch

    from ucadi_flwr.models.files import save_site_model
    from ucadi_flwr.site import personalisation
    from ucadi_flwr.training.freezing import select_trainable

    task_recipe = loader.load(TaskRecipe, task)
    strategy_recipe = loader.load(StrategyRecipe, strategy)
    settings = strategy_recipe.personalisation
    if settings is None:
        raise RecipeError(
            f"strategy {strategy_recipe.name} has no section tailoring; choose ftl, or add one"
        )
    if out.suffix != ".safetensors":
        raise DataError(f"{out}: the new model is a .safetensors file; give it that suffix")
    if out.exists():
        raise DataError(f"{out} exists already; it is not overwritten")
    site = personalisation.open_single_site(data, task_recipe, _warn)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network, notes = personalisation.load_start_model(task_recipe, model, initial, seed)
    selected = select_trainable(network, settings.fine_tune)
    for note in notes:
        _warn(note)
    network.to(device)
    sizes = {name: p.numel() for name, p in network.named_parameters()}
    trained = sum(size for name, size in sizes.items() if name in selected)
    print(f"{site.name}: {_cases(site)}; {trained:,} of {sum(sizes.values()):,} parameters train")
    signal.signal(signal.SIGTERM, _exit)  # so that the cache is deleted: it holds patients' images
    with tempfile.TemporaryDirectory(prefix="ucadi-cache-") as folder:
        cache = Path(folder)

        def test() -> str:
            return personalisation.measures_line(network, site, task_recipe, cache, device)

        print(f"before: {test()}", flush=True)
        loss = personalisation.personalise(
            network,
            site,
            task_recipe,
            settings,
            cache=cache,
            seed=seed,
            epochs_before=task_recipe.training.epochs,
            device=device,
        )
        print(f"after {settings.epochs} epochs, loss {loss:.4f}")
        print(f"after: {test()}")
    save_site_model(out, network, task_recipe, site.name)
    print(f"model: {out}")


def _cases(site: Site) -> str:
    return f"{len(site.parts['train'])} cases to train, {len(site.parts['test'])} to test"


def _exit(number: int, _frame: FrameType | None) -> None:
    raise SystemExit(128 + number)


def _warn(text: str) -> None:
    print(f"warning: {text}", file=sys.stderr)
