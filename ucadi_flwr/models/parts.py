"""The parts of a network: its head and normalisation layers, its shared and its local tensors.

Local normalisation layers: Li et al., "FedBN: federated learning on non-IID features via local
batch normalization", ICLR 2021. Local head: Arivazhagan et al., "Federated learning with
personalization layers", 2019.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import TypeVar

from torch import nn

from ucadi_flwr.errors import FederationError, RecipeError

HEAD_LAYERS = 2
"""S2 retrains the last two dense layers; in a network with one dense layer, that is the head."""

NORMALISATION = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.SyncBatchNorm,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
    nn.GroupNorm,
    nn.LayerNorm,
)

Values = TypeVar("Values")


def head_layers(model: nn.Module) -> tuple[str, ...]:
    """Names of the last two dense layers; ``classifier.3`` and ``.6`` in VGG16."""
    return tuple(_dense(model)[-HEAD_LAYERS:])


def output_layer(model: nn.Module) -> str:
    """Name of the dense layer whose output is the logits: ``classifier.6`` of VGG16.

    Raises:
        ValueError: the network has no dense layer.
    """
    dense = _dense(model)
    if not dense:
        raise ValueError("the network has no dense layer")
    return dense[-1]


def local_tensor_names(model: nn.Module, choice: str | Collection[str]) -> frozenset[str]:
    """Names of the float tensors that stay at a site.

    Args:
        model: the network; only its layers' types and names matter.
        choice: ``none``; ``normalisation``: parameters and running statistics of batch, instance,
            group and layer normalisation (FedBN); ``head``: the last two dense layers; or names of
            layers or tensors, each with everything below it (``classifier`` or ``classifier.``).

    Raises:
        RecipeError: a name or the choice matches no tensor, or no tensor would be shared.
    """
    floats = [name for name, tensor in model.state_dict().items() if tensor.is_floating_point()]
    match choice:
        case "none":
            return frozenset()
        case "normalisation":
            layers = [name for name, m in model.named_modules() if isinstance(m, NORMALISATION)]
        case "head":
            layers = list(head_layers(model))
        case str():
            raise RecipeError(
                f"'{choice}' is not a part of a network: write none, normalisation, head or a list "
                "of layers"
            )
        case _:
            layers = list(choice)
            for layer in layers:
                if not any(in_layers(name, [layer]) for name in floats):
                    raise RecipeError(
                        f"this network has no layer or tensor named '{layer}'; it has "
                        f"{', '.join(dict(model.named_children()))}, and layers in them"
                    )
    local = frozenset(name for name in floats if in_layers(name, layers))
    if not local and choice:
        raise RecipeError(f"this network has no {choice} that could stay at the sites")
    if len(local) == len(floats):
        raise RecipeError(
            "no tensor would be shared, as the whole network stays local; name fewer layers, or "
            "use cohort each-site"
        )
    return local


def in_layers(name: str, layers: Iterable[str]) -> bool:
    """Whether a tensor's name is in one of the layers: ``fc.bias`` is in ``fc``, not in ``f``."""
    return any(name == layer or name.startswith(layer.rstrip(".") + ".") for layer in layers)


def split(
    state: Mapping[str, Values], local: Collection[str]
) -> tuple[dict[str, Values], dict[str, Values]]:
    """Divide a state into its shared and its local part, each in the state's order.

    Args:
        state: tensor name → values.
        local: names of the tensors that stay local.

    Returns:
        (shared, local).

    Raises:
        FederationError: the state lacks one of the ``local`` names.
    """
    if missing := sorted(set(local) - state.keys()):
        raise FederationError(
            f"the model lacks {len(missing)} tensors that stay local, '{missing[0]}' first"
        )
    shared = {name: values for name, values in state.items() if name not in local}
    return shared, {name: values for name, values in state.items() if name in local}


def merge(
    shared: Mapping[str, Values], local: Mapping[str, Values], order: Collection[str]
) -> dict[str, Values]:
    """Join the shared and the local part of a state: the inverse of :func:`split`.

    Args:
        shared: tensor name → values.
        local: tensor name → values.
        order: all names, in the order of the result.

    Raises:
        FederationError: a tensor is in both parts, in neither, or is not in ``order``.
    """
    if twice := sorted(shared.keys() & local.keys()):
        raise FederationError(
            f"{len(twice)} tensors are both shared and local, '{twice[0]}' first; the site and the "
            "server differ in what stays local"
        )
    state = {**shared, **local}
    if differing := sorted(state.keys() ^ set(order)):
        raise FederationError(
            f"{len(differing)} tensors are missing or too many once shared and local parts are "
            f"joined, '{differing[0]}' first"
        )
    return {name: state[name] for name in order}


def _dense(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
