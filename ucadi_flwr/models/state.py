"""The part of a model that travels: its parameters and float buffers, by name.

Integer counters (BatchNorm's ``num_batches_tracked``, DropBlock's calls) stay at the site: they
are no model, and a mean of them is none.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ucadi_flwr.errors import FederationError


def read_state(model: nn.Module) -> dict[str, NDArray[np.float32]]:
    """Tensor name → float32 copy on the CPU, in the order of the model's ``state_dict``."""
    return {
        name: tensor.detach().to("cpu", torch.float32, copy=True).numpy()
        for name, tensor in model.state_dict().items()
        if tensor.is_floating_point()
    }


def write_state(model: nn.Module, state: Mapping[str, NDArray[np.float32]]) -> None:
    """Load what :func:`read_state` gave, in place; refuse other names, shapes or values."""
    own = {name: t for name, t in model.state_dict().items() if t.is_floating_point()}
    check_state(state, {name: tuple(tensor.shape) for name, tensor in own.items()})
    for name, tensor in own.items():
        tensor.copy_(torch.from_numpy(np.array(state[name], dtype=np.float32)))


def check_state(
    state: Mapping[str, NDArray[np.float32]], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """Raise :class:`FederationError` unless names, shapes, type and values fit the model."""
    if missing := [name for name in shapes if name not in state]:
        raise FederationError(f"the model lacks {len(missing)} tensors, '{missing[0]}' first")
    if extra := [name for name in state if name not in shapes]:
        raise FederationError(f"the model has {len(extra)} tensors too many, '{extra[0]}' first")
    for name, shape in shapes.items():
        values = state[name]
        if values.dtype != np.float32 or values.shape != shape:
            raise FederationError(
                f"tensor '{name}' is {values.dtype} {values.shape}, expected float32 {shape}"
            )
        if not np.isfinite(values).all():
            raise FederationError(f"tensor '{name}' holds values that are not finite (NaN or ∞)")


def trainable_names(model: nn.Module) -> list[str]:
    """The names of the parameters that gradient steps change."""
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]
