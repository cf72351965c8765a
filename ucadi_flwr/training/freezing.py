"""Which parameters train at a site, and how the others hold still.

Yang et al., "FTL" (S2): a hospital keeps the convolutions of the server's model and retrains the
last two dense layers, or fine-tunes all of the network or a part of it.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from torch import nn

from ucadi_flwr.errors import RecipeError

HEAD_LAYERS = 2
FROM = "from "


def select(model: nn.Module, choice: str) -> set[str]:
    """The names of the parameters that train.

    Args:
        model: the network.
        choice: ``all``; ``head``: the last two dense layers, or the only one (``classifier.3`` and
            ``.6`` of VGG16, ``fc`` of ResNet-18, ``head`` of the 3D-DenseNet); ``from LAYER``: that
            layer and all that come after it, in the order of the state.

    Raises:
        RecipeError: nothing is chosen: no such choice, no such layer, or no parameters in it.
    """
    modules = dict(model.named_modules())
    match choice:
        case "all":
            chosen = list(modules)
        case "head":
            chosen = [name for name, m in modules.items() if isinstance(m, nn.Linear)]
            chosen = chosen[-HEAD_LAYERS:]
        case str() if choice.startswith(FROM):
            chosen = _from(modules, choice.removeprefix(FROM))
        case _:
            raise RecipeError(
                f"'{choice}' is no choice of layers: write all, head or {FROM}one of "
                f"{', '.join(_layers(modules))}, or a layer in them"
            )
    trained = {parameter for name in chosen for parameter in _own(name, modules[name])}
    if not trained:
        raise RecipeError(
            f"'{choice}' leaves no parameters to train; the layers that have some are "
            f"{', '.join(_layers(modules))}"
        )
    return trained


@contextmanager
def frozen(model: nn.Module, except_for: Collection[str]) -> Iterator[None]:
    """Hold still all parameters but ``except_for``, and what normalisation layers count.

    Within the context the other parameters have no gradient, and a layer with running statistics
    none of whose parameters train uses these as in evaluation, even after ``model.train()``: its
    tensors are the same to the bit afterwards. (A layer that has statistics and no parameters
    holds still too, unless all parameters train.) Dropout goes on everywhere. Make the optimiser
    within the context, from the parameters that require gradients.

    Raises:
        RecipeError: a name is not in the network, or everything would be frozen.
    """
    parameters = dict(model.named_parameters())
    trained = set(except_for)
    if unknown := sorted(trained - parameters.keys()):
        raise RecipeError(
            f"the network has no parameter '{unknown[0]}'; its layers are "
            f"{', '.join(_layers(dict(model.named_modules())))}"
        )
    if not trained:
        raise RecipeError("all parameters are frozen, and nothing is left to train")
    held = [p for name, p in parameters.items() if name not in trained and p.requires_grad]
    still = _still_layers(model, trained) if trained != parameters.keys() else []
    hooks = [layer.register_forward_pre_hook(_hold) for layer in still]
    for parameter in held:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in held:
            parameter.requires_grad_(True)
        for hook in hooks:
            hook.remove()
        for layer in still:
            layer.train(model.training)


def _from(modules: dict[str, nn.Module], layer: str) -> list[str]:
    names = list(modules)
    if not layer or layer not in modules:
        raise RecipeError(
            f"'{FROM}{layer}': this network has no such layer; it has "
            f"{', '.join(_layers(modules))}, and layers in them"
        )
    return names[names.index(layer) :]


def _still_layers(model: nn.Module, trained: set[str]) -> list[nn.Module]:
    """The layers with running statistics none of whose parameters train."""
    return [
        module
        for name, module in model.named_modules()
        if any(buffer.startswith("running_") for buffer, _ in module.named_buffers(recurse=False))
        and trained.isdisjoint(_own(name, module))
    ]


def _own(name: str, module: nn.Module) -> list[str]:
    """The names in the network of the parameters that the module itself has."""
    return [parameter for parameter, _ in module.named_parameters(prefix=name, recurse=False)]


def _hold(module: nn.Module, _: object) -> None:
    module.eval()


def _layers(modules: dict[str, nn.Module]) -> list[str]:
    """Layers with parameters, named as far as one level down: a list that fits a message."""
    return [
        name
        for name, module in modules.items()
        if name and name.count(".") < 2 and any(True for _ in module.parameters())
    ]
