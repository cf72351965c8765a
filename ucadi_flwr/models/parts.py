"""The parts of a network, and the split of its state into what is shared and what stays local.

Normalisation layers that stay at the site: Li et al., "FedBN: federated learning on non-IID
features via local batch normalization", ICLR 2021. A head that stays there: Arivazhagan et al.,
"Federated learning with personalization layers", 2019.
"""

from collections.abc import Collection, Iterable, Mapping
from typing import TypeVar

from torch import nn

from ucadi_flwr.errors import FederationError, RecipeError

HEAD_LAYERS = 2
"""S2 retrains the last two dense layers; a network with one dense layer has that one as head."""

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
    """The last two dense layers: ``classifier.3`` and ``.6`` of VGG16, ``fc`` of ResNet-18."""
    return tuple(_dense(model)[-HEAD_LAYERS:])


def output_layer(model: nn.Module) -> str:
    """The dense layer that gives the logits: ``classifier.6`` of VGG16, ``fc`` of ResNet-18.

    Raises:
        ValueError: the network has no dense layer.
    """
    dense = _dense(model)
    if not dense:
        raise ValueError("the network has no dense layer")
    return dense[-1]


def local_names(model: nn.Module, choice: str | Collection[str]) -> frozenset[str]:
    """The float tensors of the state that stay at a site.

    Args:
        model: the network; its layers' types and names count, not its values.
        choice: ``none``; ``normalisation``: parameters and running statistics of batch, instance,
            group and layer normalisation (FedBN); ``head``: the last two dense layers; or names of
            layers or tensors, each with all that is below it (``classifier`` or ``classifier.``).

    Raises:
        RecipeError: a name or the choice matches nothing, or nothing would be shared.
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
                f"'{choice}' is no part of a network: write none, normalisation, head or a list of "
                "layers"
            )
        case _:
            layers = list(choice)
            for layer in layers:
                if not any(within(name, [layer]) for name in floats):
                    raise RecipeError(
                        f"nothing in this network is named '{layer}'; it has "
                        f"{', '.join(dict(model.named_children()))}, and layers in them"
                    )
    local = frozenset(name for name in floats if within(name, layers))
    if not local and choice:
        raise RecipeError(f"this network has no {choice} that could stay at the sites")
    if len(local) == len(floats):
        raise RecipeError(
            "nothing would be shared: all of the network stays local; name fewer layers, or use "
            "cohort each-site"
        )
    return local


def within(name: str, layers: Iterable[str]) -> bool:
    """Whether a tensor is one of the layers or below one: ``fc.bias`` in ``fc``, not in ``f``."""
    return any(name == layer or name.startswith(layer.rstrip(".") + ".") for layer in layers)


def split(
    state: Mapping[str, Values], local: Collection[str]
) -> tuple[dict[str, Values], dict[str, Values]]:
    """(shared, local) parts of a state, each in the state's order.

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
    """The whole state in the ``order`` of names: the inverse of :func:`split`.

    Raises:
        FederationError: a tensor is in both parts, in neither, or is not in ``order``.
    """
    if twice := sorted(shared.keys() & local.keys()):
        raise FederationError(
            f"{len(twice)} tensors are both shared and local, '{twice[0]}' first; the site and the "
            "server differ in what stays local"
        )
    whole = {**shared, **local}
    if odd := sorted(whole.keys() ^ set(order)):
        raise FederationError(
            f"{len(odd)} tensors are missing or too many once shared and local parts are joined, "
            f"'{odd[0]}' first"
        )
    return {name: whole[name] for name in order}


def _dense(model: nn.Module) -> list[str]:
    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
