"""The one place that turns a recipe's names into objects: a row a name, nothing by default."""

import torch
from torch import nn

from ucadi_flwr.models.densenet3d import DenseNet3d
from ucadi_flwr.models.resnet import resnet18_2d
from ucadi_flwr.models.vgg import vgg16_2d
from ucadi_flwr.recipes.task import DenseNet3dOptions, ResNet18Options, TaskRecipe, Vgg16Options


def make_model(task: TaskRecipe, seed: int) -> nn.Module:
    """The task's network, freshly initialised: the same seed gives the same weights."""
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
    """Tell a model how many training batches came before, where it has a schedule of its own."""
    if isinstance(model, DenseNet3d):
        model.set_schedule(batches)
