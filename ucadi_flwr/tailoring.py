"""A model made a site's own: S2's transfer learning, after the rounds or at a new hospital."""

from pathlib import Path

import torch
from torch import nn

from ucadi_flwr.build import set_schedule
from ucadi_flwr.data.dataset import training_set
from ucadi_flwr.data.sites import Site
from ucadi_flwr.recipes.strategy import Tailoring
from ucadi_flwr.recipes.task import TaskRecipe
from ucadi_flwr.training.local import LocalWork, train


def tailor(
    model: nn.Module,
    site: Site,
    task: TaskRecipe,
    tailoring: Tailoring,
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
    work = LocalWork(
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
