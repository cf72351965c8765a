"""Make the network that a task recipe names."""

import torch
from torch import nn

from ucadi_flwr.models.densenet3d import DenseNet3d
from ucadi_flwr.models.resnet import resnet18_2d
from ucadi_flwr.models.vgg import vgg16_2d
from ucadi_flwr.recipes.task import DenseNet3dOptions, ResNet18Options, TaskRecipe, Vgg16Options


def make_model(task: TaskRecipe, seed: int) -> nn.Module:
    """Make the task's network with initial weights; the same seed gives the same weights.

    Args:
        task: its model section names the architecture; its classes are the logits.
        seed: of torch's global generator.

    Returns:
        A network in training mode on the CPU: volumes (B, 1, D, H, W) or images (B, 1, H, W) →
        logits (B, classes).

    >>> from ucadi_flwr.recipes import loader
    >>> model = make_model(loader.load(TaskRecipe, "phantom-covid2"), seed=0)
    >>> model(torch.zeros(1, 1, 16, 48, 48)).shape
    torch.Size([1, 2])
    """
    torch.manual_seed(seed)
    match task.model:
        case DenseNet3dOptions() as options:
            return DenseNet3d(
                len(task.classes),
                width=options.width,
                growth=options.growth,
                negative_slope=options.negative_slope,
                dropblock=options.dropblock,
                dropblock_calls=options.dropblock_calls,
            )
        case ResNet18Options():
            return resnet18_2d(len(task.classes))
        case Vgg16Options() as options:
            return vgg16_2d(len(task.classes), width=options.width)


def set_schedule(model: nn.Module, batches: int) -> None:
    """Set the number of earlier training batches in a model with a schedule (DropBlock's).

    Other models are left unchanged.
    """
    if isinstance(model, DenseNet3d):
        model.set_schedule(batches)
