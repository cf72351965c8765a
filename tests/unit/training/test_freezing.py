"""The choice of parameters that train; frozen parameters and statistics keep their bits."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ucadi_flwr.errors import RecipeError
from ucadi_flwr.models.densenet3d import DenseNet3d
from ucadi_flwr.models.parts import head_layers, in_layers
from ucadi_flwr.models.resnet import resnet18_2d
from ucadi_flwr.models.vgg import vgg16_2d
from ucadi_flwr.training.freezing import frozen, select_trainable

NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "vgg16": (lambda: vgg16_2d(2, width=2), (4, 1, 32, 32)),
    "resnet18": (lambda: resnet18_2d(2, width=2), (4, 1, 32, 32)),
    "densenet3d": (lambda: DenseNet3d(2, width=2, growth=2), (4, 1, 4, 8, 8)),
}


def toy() -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2, affine=False), nn.ReLU())


def snapshot(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.clone() for name, tensor in model.state_dict().items()}


def two_steps(model: nn.Module, shape: tuple[int, ...]) -> None:
    """Two steps of local training: ``model.train()``, SGD with momentum and decay."""
    model.train()
    chosen = [p for p in model.parameters() if p.requires_grad]
    optimiser = torch.optim.SGD(chosen, lr=0.1, momentum=0.9, weight_decay=0.1)
    for _ in range(2):
        loss = functional.cross_entropy(model(torch.randn(shape)), torch.tensor([0, 1, 0, 1]))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


@pytest.mark.parametrize("network", NETWORKS)
def test_the_head_is_the_same_as_in_models_parts(network: str) -> None:
    model = NETWORKS[network][0]()
    layers = head_layers(model)
    assert select_trainable(model, "head") == {
        n for n, _ in model.named_parameters() if in_layers(n, layers)
    }
    assert select_trainable(model, "all") == {name for name, _ in model.named_parameters()}


@pytest.mark.parametrize(
    ("network", "layer", "first", "count"),
    [
        ("vgg16", "classifier", "classifier.0.weight", 6),
        ("vgg16", "features.28", "features.28.weight", 8),
        ("vgg16", "avgpool", "classifier.0.weight", 6),  # no parameters: from the next that has
        ("resnet18", "layer4", "layer4.0.conv1.weight", 17),
        ("resnet18", "layer4.1.bn2", "layer4.1.bn2.weight", 4),
        ("resnet18", "conv1", "conv1.weight", 62),
        ("densenet3d", "tail", "tail.norm.weight", 4),
    ],
)
def test_from_a_layer_to_the_end(network: str, layer: str, first: str, count: int) -> None:
    model = NETWORKS[network][0]()
    names = [name for name, _ in model.named_parameters()]
    assert select_trainable(model, f"from {layer}") == set(names[names.index(first) :])
    assert len(names) - names.index(first) == count


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("choice", ["head", "from middle", "all"])
def test_frozen_layers_keep_their_bits(network: str, choice: str) -> None:
    make, shape = NETWORKS[network]
    torch.manual_seed(0)
    model = make()
    middle = {"vgg16": "features.17", "resnet18": "layer3", "densenet3d": "dense3"}[network]
    trained = select_trainable(model, choice.replace("middle", middle))
    layers = {name.rpartition(".")[0] for name in trained}
    before = snapshot(model)
    with frozen(model, trained):
        assert {n for n, p in model.named_parameters() if p.requires_grad} == trained
        two_steps(model, shape)
    schedule = "tail.drop.calls"  # DropBlock stays active, and its count is not a parameter
    for name, tensor in model.state_dict().items():
        moved = name.rpartition(".")[0] in layers or name == schedule
        assert torch.equal(tensor, before[name]) is not moved, name
    assert all(p.requires_grad for p in model.parameters())


def test_after_the_context_statistics_change_again() -> None:
    torch.manual_seed(0)
    model = resnet18_2d(2, width=2)
    with frozen(model, select_trainable(model, "head")):
        two_steps(model, (4, 1, 32, 32))
        assert not model.get_submodule("bn1").training
    assert model.get_submodule("bn1").training
    before = snapshot(model)
    two_steps(model, (4, 1, 32, 32))
    moved = {name for name, tensor in model.state_dict().items() if not tensor.equal(before[name])}
    assert moved == set(before)


def test_layers_follow_the_model_s_mode_afterwards() -> None:
    model = resnet18_2d(2, width=2)
    with frozen(model, select_trainable(model, "head")):
        model.eval()
    assert not any(module.training for module in model.modules())


def test_an_error_in_the_context_unfreezes_too() -> None:
    model = resnet18_2d(2, width=2)
    with pytest.raises(KeyError), frozen(model, select_trainable(model, "head")):
        raise KeyError
    assert all(p.requires_grad for p in model.parameters())
    assert not any(m._forward_pre_hooks for m in model.modules())


def test_parameters_that_were_frozen_before_stay_frozen() -> None:
    model = resnet18_2d(2, width=2)
    model.get_parameter("conv1.weight").requires_grad_(False)
    model.get_parameter("fc.bias").requires_grad_(False)
    with frozen(model, select_trainable(model, "head")):
        assert [n for n, p in model.named_parameters() if p.requires_grad] == ["fc.weight"]
    still = [name for name, p in model.named_parameters() if not p.requires_grad]
    assert still == ["conv1.weight", "fc.bias"]


def test_normalisation_without_parameters_is_frozen_unless_all_train() -> None:
    for names, moves in ((["0.bias"], False), (["0.bias", "0.weight"], True)):
        model = toy()
        before = snapshot(model)
        with frozen(model, names):
            model.train()(torch.randn(4, 1, 5, 5))
        assert torch.equal(model.state_dict()["1.running_mean"], before["1.running_mean"]) != moves


def test_a_network_of_one_layer() -> None:
    layer = nn.BatchNorm1d(2)
    assert select_trainable(layer, "all") == {"weight", "bias"}
    with frozen(layer, ["bias"]):
        layer(torch.randn(4, 2))
    assert layer.running_mean is not None
    assert layer.running_mean.abs().sum() > 0  # it trains in part


RESNET = "conv1, bn1, layer1, layer1.0, layer1.1, layer2"


@pytest.mark.parametrize(
    ("make", "choice", "message"),
    [
        (resnet18_2d, "features", f"'features' is not a choice of layers.*from one of {RESNET}"),
        (
            resnet18_2d,
            "from layer5",
            f"'from layer5': this network has no such layer; it has {RESNET}",
        ),
        (resnet18_2d, "from ", "'from ': this network has no such layer"),
        (resnet18_2d, "from", "'from' is not a choice of layers"),
        (resnet18_2d, "from fc.weight", "'from fc.weight': this network has no such layer"),
        (lambda _: toy(), "head", "'head' leaves no parameters to train; .* are 0$"),
        (lambda _: toy(), "from 1", "'from 1' leaves no parameters to train; .* are 0$"),
    ],
)
def test_a_choice_that_trains_nothing_is_refused(
    make: Callable[[int], nn.Module], choice: str, message: str
) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        select_trainable(make(2), choice)
    assert "\n" not in str(caught.value)


def test_unknown_names_and_an_empty_list_are_refused() -> None:
    model = resnet18_2d(2, width=2)
    with pytest.raises(RecipeError, match=f"no parameter 'fc'; its layers are {RESNET}"):
        frozen(model, ["fc"]).__enter__()
    with pytest.raises(RecipeError, match="nothing is left to train"):
        frozen(model, []).__enter__()
    assert all(p.requires_grad for p in model.parameters())
