"""Personalisation: adapt a model to one site (S2's transfer learning).

After the rounds of a federation, or at a new hospital (``ucadi personalise``).
"""

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


def personalise(
    model: nn.Module,
    site: Site,
    task: TaskRecipe,
    settings: Personalisation,
    *,
    cache: Path,
    seed: int,
    epochs_before: int,
    device: torch.device,
) -> float:
    """Train ``model`` in place on the site's own training cases; the last epoch's mean loss.

    Tensors that ``settings.fine_tune`` leaves out stay the same to the bit. The learning rate rises
    and falls as in the task, over ``settings.epochs``. The same seed gives the same model.

    Args:
        model: the network, on ``device``.
        site: the site, with training cases.
        task: the task of the model.
        settings: the strategy's personalisation, its key ``tailoring``.
        cache: folder of the site's preprocessed images.
        seed: seed of the batches and the augmentation.
        epochs_before: epochs of this site's size that the model was trained for; they set the
            network's own schedule, such as DropBlock's.
        device: where to train.

    Raises :class:`RecipeError` if no tensor would train, :class:`TrainingError` if the loss is not
    finite.
    """
    rate = settings.learning_rate or task.training.learning_rate
    work = LocalUpdate(
        first_epoch=0,
        epochs=settings.epochs,
        total_epochs=settings.epochs,
        seed=seed,
        fine_tune=settings.fine_tune,
        alignment=settings.alignment,
    )
    dataset = training_set(site, task, cache, seed)
    set_schedule(model, epochs_before * -(-len(dataset) // task.training.batch_size))
    return train(
        model, dataset, task.training.model_copy(update={"learning_rate": rate}), work, device
    )


def open_single_site(data: Path, task: TaskRecipe, warn: Callable[[str], None]) -> Site:
    """The only site of a data folder.

    Args:
        data: the folder, with its manifest.
        task: the task, which says how images are read and which classes there are.
        warn: is called with one line of text if training cases of a class are missing.

    Raises :class:`DataError` unless it is one site, with training cases of two classes or more.
    """
    sites = open_sites(data, task)
    if len(sites) != 1:
        raise DataError(f"{data}: has {len(sites)} sites ({', '.join(sites)}); name one's folder")
    (site,) = sites.values()
    present = {task.classes[label] for label in site.labels("train")}
    if len(present) < 2:
        raise DataError(
            f"{data}: its training cases are all {next(iter(present))}; a model that trains on one "
            "class assigns every case to it"
        )
    if missing := [name for name in task.classes if name not in present]:
        warn(
            f"{data} has no training case of {' and '.join(missing)}: the personalised model will "
            "hardly recognise it"
        )
    return site


def load_start_model(
    task: TaskRecipe, model: Path | None, initial: Path | None, seed: int
) -> tuple[nn.Module, list[str]]:
    """The network with the weights of one of two files, and notes that a user should read.

    Args:
        task: the task, which says which network.
        model: a model of this task: all its tensors fit, its classes are the task's in their order.
        initial: or a checkpoint of the network, whose output layer may be of another shape; then
            that layer keeps its random initial weights.
        seed: seed of random initial weights.

    Raises :class:`RecipeError` unless one of the two is given, :class:`DataError` if the file does
    not fit.
    """
    if (model is None) == (initial is None):
        raise RecipeError("name the start model by one of --model and --initial")
    network = make_model(task, seed)
    if model is not None:
        report, notes = load_initial(model, network, head=()), list[str]()
        _check_classes(model, report, task)
        if local := report.metadata.get("local"):
            notes.append(
                f"{len(_names(model, 'local', local))} tensors of {model} stayed at the sites that "
                "trained it and have their initial values here"
            )
        return network, notes
    assert initial is not None  # noqa: S101 - for mypy: one of the two
    report = load_initial(initial, network, head=(output_layer(network),))
    notes = [f"{', '.join(report.fresh)} are not from {initial} but new"] if report.fresh else []
    if report.summed:
        notes.append(f"{report.summed}: the colours of {initial} were summed, for grey images")
    return network, notes


def measures_line(
    model: nn.Module, site: Site, task: TaskRecipe, cache: Path, device: torch.device
) -> str:
    """Test the model on the site's test cases; the measures in one line of text.

    Args:
        model: the network, on ``device``.
        site: the site.
        task: the task of the model.
        cache: folder of the site's preprocessed images.
        device: where to compute.
    """
    scores = probabilities(model, testing_set(site, task, cache, "test"), device)
    labels = np.array(site.labels("test"), np.int64)
    measures = from_predictions(scores, labels, task.classes.index(task.positive_class))
    values = {
        "AUC": measures.auc,
        "sensitivity": measures.sensitivity,
        "specificity": measures.specificity,
        "accuracy": measures.accuracy,
    }
    words = [f"{name} {'–' if value is None else f'{value:.3f}'}" for name, value in values.items()]
    return f"{measures.n} cases, {', '.join(words)} ({task.positive_class})"


def _check_classes(path: Path, report: LoadReport, task: TaskRecipe) -> None:
    stored = report.metadata.get("classes")
    if stored is None:
        raise DataError(
            f"{path} does not say which classes it distinguishes; a checkpoint is for --initial"
        )
    if (classes := _names(path, "classes", stored)) != list(task.classes):
        raise DataError(
            f"{path} distinguishes {', '.join(classes)}, and task {task.name} "
            f"{', '.join(task.classes)}; choose the task that it was trained for"
        )


def _names(path: Path, what: str, text: str) -> list[str]:
    """A JSON list of names from a file's metadata, which may hold anything."""
    try:
        names = json.loads(text)
    except (ValueError, RecursionError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"{path}: its {what} are no JSON list of names")
    return [ascii(name)[1:-1][:64] for name in names]
