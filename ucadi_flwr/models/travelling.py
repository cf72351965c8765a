"""Which tensors of a task's network travel: names, shapes and what gradient steps change.

Read off a network on PyTorch's ``meta`` device, which has shapes and no values: nothing is
allocated and no random number is drawn.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch

from ucadi_flwr.models.factory import make_model
from ucadi_flwr.models.parts import local_tensor_names
from ucadi_flwr.models.state import trainable_names
from ucadi_flwr.recipes.task import TaskRecipe


@dataclass(frozen=True)
class TravellingTensors:
    """The tensors that sites and server exchange, in the network's order.

    Args:
        shapes: name → shape of the tensors that travel.
        trainable: those of them that gradient steps change; the others are running statistics.
        local: names of the tensors that stay at each site.
    """

    shapes: Mapping[str, tuple[int, ...]] = field(repr=False)
    trainable: tuple[str, ...] = field(repr=False)
    local: frozenset[str]


def travelling_tensors(task: TaskRecipe, local: str | tuple[str, ...]) -> TravellingTensors:
    """The tensors of a task's network that travel.

    Args:
        task: names the network.
        local: a strategy recipe's choice of what stays at the sites.

    Raises :class:`RecipeError` where the choice does not fit the network.
    """
    with torch.device("meta"):
        model = make_model(task, seed=0)
    names = local_tensor_names(model, local)
    shapes = {
        name: tuple(tensor.shape)
        for name, tensor in model.state_dict().items()
        if tensor.is_floating_point() and name not in names
    }
    trainable = tuple(name for name in trainable_names(model) if name in shapes)
    return TravellingTensors(shapes, trainable, names)
