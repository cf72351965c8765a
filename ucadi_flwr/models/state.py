"""Read and write the state of a model that sites exchange: parameters and float buffers, by name.

Integer counters (BatchNorm's ``num_batches_tracked``, DropBlock's calls) stay at the site, because
their mean has no use.
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
    """Load a state as :func:`read_state` returns it, in place.

    Raises:
        FederationError: the state does not fit (:func:`check_state`); the model is unchanged.
    """
    floats = {name: t for name, t in model.state_dict().items() if t.is_floating_point()}
    check_state(state, {name: tuple(tensor.shape) for name, tensor in floats.items()})
    for name, tensor in floats.items():
        tensor.copy_(torch.from_numpy(np.array(state[name], dtype=np.float32)))


def check_state(
    state: Mapping[str, NDArray[np.float32]], shapes: Mapping[str, tuple[int, ...]]
) -> None:
    """Check that a state fits a model.

    Args:
        state: tensor name → values.
        shapes: the model's tensor names → shapes.

    Raises:
        FederationError: a name is missing or too many, a tensor has another shape or is not
            float32, or a value is not finite.
    """
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
    """Names of the parameters that require gradients."""
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]
