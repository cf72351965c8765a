"""A model made a site's own: S2's transfer learning, after the rounds or at a new hospital."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ucadi_flwr.data.dataset import testing_set, training_set
from ucadi_flwr.data.sites import Site, open_sites
from ucadi_flwr.errors import DataError, RecipeError
from ucadi_flwr.evaluation.metrics import from_predictions
from ucadi_flwr.evaluation.predict import probabilities
from ucadi_flwr.models.factory import make_model, set_schedule
from ucadi_flwr.models.parts import output_layer
from ucadi_flwr.models.pretrained import LoadReport, load_initial
from ucadi_flwr.recipes.strategy import Personalisation
from ucadi_flwr.recipes.task import TaskRecipe
from ucadi_flwr.training.local import LocalUpdate, train


def tailor(
    model: nn.Module,
    site: Site,
    task: TaskRecipe,
    tailoring: Personalisation,
    *,
    cache: Path,
    seed: int,
    epochs_before: int,
    device: torch.device,
) -> float:
    """Train ``model`` in place on the site's own training cases; the last epoch's mean loss.

    What ``tailoring.fine_tune`` leaves out is the same to the bit afterwards. The learning rate
    rises and falls as in the task, over the tailoring's epochs. ``epochs_before`` (of this site's
    size) set a network's own schedule, such as DropBlock's. The same seed gives the same model.

    Raises :class:`RecipeError` if nothing would train, :class:`TrainingError` if it diverges.
    """
    rate = tailoring.learning_rate or task.training.learning_rate
    work = LocalUpdate(
        first_epoch=0,
        epochs=tailoring.epochs,
        total_epochs=tailoring.epochs,
        seed=seed,
        fine_tune=tailoring.fine_tune,
        alignment=tailoring.alignment,
    )
    dataset = training_set(site, task, cache, seed)
    set_schedule(model, epochs_before * -(-len(dataset) // task.training.batch_size))
    return train(
        model, dataset, task.training.model_copy(update={"learning_rate": rate}), work, device
    )


def open_hospital(data: Path, task: TaskRecipe, warn: Callable[[str], None]) -> Site:
    """The only site of a folder; ``warn`` is told of classes that it has no training cases of.

    Raises :class:`DataError` unless it is one site, with training cases of two classes at least.
    """
    sites = open_sites(data, task)
    if len(sites) != 1:
        raise DataError(f"{data}: has {len(sites)} sites ({', '.join(sites)}); name one's folder")
    (site,) = sites.values()
    present = {task.classes[label] for label in site.labels("train")}
    if len(present) < 2:
        raise DataError(
            f"{data}: its training cases are all {next(iter(present))}; a model cannot be tailored "
            "to one class"
        )
    if missing := [name for name in task.classes if name not in present]:
        warn(
            f"{data} has no training case of {' and '.join(missing)}: the tailored model unlearns "
            "to tell it"
        )
    return site


def open_model(
    task: TaskRecipe, model: Path | None, initial: Path | None, seed: int
) -> tuple[nn.Module, list[str]]:
    """The network with the weights of a model of the task, or of a checkpoint; what to know of it.

    A model has to fit in every tensor, and to be of the same classes in the same order; of a
    checkpoint the output layer may be another, and is begun anew. Raises :class:`DataError`.
    """
    if (model is None) == (initial is None):
        raise RecipeError("name the weights to begin with: one of --model and --initial")
    network = make_model(task, seed)
    if model is not None:
        report, notes = load_initial(model, network, head=()), list[str]()
        _check_task(model, report, task)
        if own := report.metadata.get("local"):
            notes.append(
                f"{len(_names(model, 'local', own))} tensors of {model} stayed at the sites that "
                "trained it and have their initial values here"
            )
        return network, notes
    assert initial is not None  # noqa: S101 - for mypy: one of the two
    report = load_initial(initial, network, head=(output_layer(network),))
    notes = [f"{', '.join(report.fresh)} are not from {initial} but new"] if report.fresh else []
    if report.summed:
        notes.append(f"{report.summed}: the colours of {initial} were summed, for grey images")
    return network, notes


def tested(
    model: nn.Module, site: Site, task: TaskRecipe, cache: Path, device: torch.device
) -> str:
    """One line of figures on the site's test cases, from predictions."""
    scores = probabilities(model, testing_set(site, task, cache, "test"), device)
    labels = np.array(site.labels("test"), np.int64)
    figures = from_predictions(scores, labels, task.classes.index(task.positive_class))
    shown = {
        "AUC": figures.auc,
        "sensitivity": figures.sensitivity,
        "specificity": figures.specificity,
        "accuracy": figures.accuracy,
    }
    words = [f"{name} {'–' if value is None else f'{value:.3f}'}" for name, value in shown.items()]
    return f"{figures.n} cases, {', '.join(words)} ({task.positive_class})"


def _check_task(path: Path, report: LoadReport, task: TaskRecipe) -> None:
    known = report.metadata.get("classes")
    if known is None:
        raise DataError(
            f"{path} does not say which classes it tells apart; a checkpoint is for --initial"
        )
    if (classes := _names(path, "classes", known)) != list(task.classes):
        raise DataError(
            f"{path} tells apart {', '.join(classes)}, and task {task.name} "
            f"{', '.join(task.classes)}; choose the task that it was trained for"
        )


def _names(path: Path, what: str, text: str) -> list[str]:
    """A JSON list of words from a file's metadata, which may hold anything."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, list) or not all(isinstance(name, str) for name in found):
        raise DataError(f"{path}: its {what} are no JSON list of names")
    return [ascii(name)[1:-1][:64] for name in found]
