"""Choose the parameters that train at a site, and freeze the others.

Yang et al., "FTL" (S2): a hospital keeps the convolutions of the server's model and retrains the
last two dense layers, or fine-tunes the whole network or a part of it.
"""

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from torch import nn

from ucadi_flwr.errors import RecipeError
from ucadi_flwr.models.parts import head_layers

FROM = "from "


def select_trainable(model: nn.Module, choice: str) -> set[str]:
    """Names of the parameters that train.

    Args:
        model: the network.
        choice: ``all``; ``head``: the last two dense layers, or the only one (``classifier.3`` and
            ``.6`` of VGG16, ``fc`` of ResNet-18, ``head`` of the 3D-DenseNet); ``from LAYER``: that
            layer and all later ones, in the order of the state.

    Raises:
        RecipeError: the choice or its layer does not exist, or the layer has no parameters.
    """
    modules = dict(model.named_modules())
    match choice:
        case "all":
            layers = list(modules)
        case "head":
            layers = list(head_layers(model))
        case str() if choice.startswith(FROM):
            layers = _layers_from(modules, choice.removeprefix(FROM))
        case _:
            raise RecipeError(
                f"'{choice}' is not a choice of layers: write all, head or {FROM}one of "
                f"{', '.join(_main_layers(modules))}, or a layer in them"
            )
    trained = {parameter for name in layers for parameter in _own_parameters(name, modules[name])}
    if not trained:
        raise RecipeError(
            f"'{choice}' leaves no parameters to train; layers with parameters are "
            f"{', '.join(_main_layers(modules))}"
        )
    return trained


@contextmanager
def frozen(model: nn.Module, except_for: Collection[str]) -> Iterator[None]:
    """Freeze all parameters except some, and the running statistics of frozen layers.

    Within the context, frozen parameters have no gradient. A layer with running statistics none of
    whose parameters train works as in evaluation, even after ``model.train()``, so that its tensors
    keep their bits. The same holds for a layer with statistics and no parameters, unless all
    parameters train. Dropout stays active in all layers. Make the optimiser within the context,
    from the parameters that require gradients.

    Args:
        model: the network.
        except_for: names of the parameters that train (:func:`select_trainable`).

    Raises:
        RecipeError: a name is not in the network, or no parameter would train.
    """
    parameters = dict(model.named_parameters())
    trained = set(except_for)
    if unknown := sorted(trained - parameters.keys()):
        raise RecipeError(
            f"the network has no parameter '{unknown[0]}'; its layers are "
            f"{', '.join(_main_layers(dict(model.named_modules())))}"
        )
    if not trained:
        raise RecipeError("all parameters are frozen, and nothing is left to train")
    fixed = [p for name, p in parameters.items() if name not in trained and p.requires_grad]
    layers = _frozen_statistics(model, trained) if trained != parameters.keys() else []
    hooks = [layer.register_forward_pre_hook(_set_evaluation_mode) for layer in layers]
    for parameter in fixed:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in fixed:
            parameter.requires_grad_(True)
        for hook in hooks:
            hook.remove()
        for layer in layers:
            layer.train(model.training)


def _layers_from(modules: dict[str, nn.Module], layer: str) -> list[str]:
    names = list(modules)
    if not layer or layer not in modules:
        raise RecipeError(
            f"'{FROM}{layer}': this network has no such layer; it has "
            f"{', '.join(_main_layers(modules))}, and layers in them"
        )
    return names[names.index(layer) :]


def _frozen_statistics(model: nn.Module, trained: set[str]) -> list[nn.Module]:
    """The layers with running statistics none of whose parameters train."""
    return [
        module
        for name, module in model.named_modules()
        if any(buffer.startswith("running_") for buffer, _ in module.named_buffers(recurse=False))
        and trained.isdisjoint(_own_parameters(name, module))
    ]


def _own_parameters(name: str, module: nn.Module) -> list[str]:
    """Names of a module's parameters, without those of the modules in it."""
    return [parameter for parameter, _ in module.named_parameters(prefix=name, recurse=False)]


def _set_evaluation_mode(module: nn.Module, _: object) -> None:
    module.eval()


def _main_layers(modules: dict[str, nn.Module]) -> list[str]:
    """Names of the layers with parameters, at most two levels deep to keep messages short."""
    return [
        name
        for name, module in modules.items()
        if name and name.count(".") < 2 and any(True for _ in module.parameters())
    ]
