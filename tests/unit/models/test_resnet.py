"""ResNet-18: the ImageNet checkpoint's names and meaning, shapes, initial weights, training."""

import math

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ucadi_flwr.models.resnet import resnet18_2d

State = dict[str, Tensor]


def imagenet_shapes() -> dict[str, tuple[int, ...]]:
    """Names and shapes of the usual ImageNet checkpoint, in order, from He et al.'s table 1."""
    shapes: dict[str, tuple[int, ...]] = {}

    def norm(name: str, channels: int) -> None:
        for part in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"{name}.{part}"] = (channels,)
        shapes[f"{name}.num_batches_tracked"] = ()

    shapes["conv1.weight"] = (64, 3, 7, 7)
    norm("bn1", 64)
    channels = 64
    for stage, planes in enumerate((64, 128, 256, 512), start=1):
        for block in range(2):
            name = f"layer{stage}.{block}"
            shapes[f"{name}.conv1.weight"] = (planes, channels, 3, 3)
            norm(f"{name}.bn1", planes)
            shapes[f"{name}.conv2.weight"] = (planes, planes, 3, 3)
            norm(f"{name}.bn2", planes)
            if channels != planes:
                shapes[f"{name}.downsample.0.weight"] = (planes, channels, 1, 1)
                norm(f"{name}.downsample.1", planes)
            channels = planes
    shapes["fc.weight"] = (1000, 512)
    shapes["fc.bias"] = (1000,)
    return shapes


def oracle(state: State, x: Tensor) -> Tensor:
    """Independent ResNet-18 in evaluation mode, from a checkpoint's names alone."""

    def norm(name: str, y: Tensor) -> Tensor:
        mean, var, weight, bias = (
            state[f"{name}.{part}"][:, None, None]
            for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (y - mean) / torch.sqrt(var + 1e-5) * weight + bias

    def conv(name: str, y: Tensor, stride: int) -> Tensor:
        weight = state[f"{name}.weight"]
        return functional.conv2d(y, weight, stride=stride, padding=weight.shape[-1] // 2)

    x = norm("bn1", conv("conv1", x, 2)).clamp(min=0)
    x = functional.max_pool2d(x, 3, stride=2, padding=1)
    for stage in range(1, 5):
        for block in range(2):
            name = f"layer{stage}.{block}"
            stride = 2 if stage > 1 and block == 0 else 1
            y = norm(f"{name}.bn1", conv(f"{name}.conv1", x, stride)).clamp(min=0)
            y = norm(f"{name}.bn2", conv(f"{name}.conv2", y, 1))
            if f"{name}.downsample.0.weight" in state:
                x = norm(f"{name}.downsample.1", conv(f"{name}.downsample.0", x, stride))
            x = (x + y).clamp(min=0)
    return x.mean(dim=(2, 3)) @ state["fc.weight"].T + state["fc.bias"]


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def test_state_has_the_names_order_and_shapes_of_imagenet_checkpoints() -> None:
    model = resnet18_2d(1000, in_channels=3)
    shapes = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert list(shapes.items()) == list(imagenet_shapes().items())
    assert len(shapes) == 122
    assert parameters(model) == 11_689_512  # the published count of ResNet-18


def test_grey_two_class_parameter_count() -> None:
    # Less two of three input planes of the stem and 998 of 1,000 classes.
    expected = 11_689_512 - 2 * 64 * 49 - 998 * (512 + 1)
    assert parameters(resnet18_2d(2)) == expected


def test_forward_agrees_with_an_independent_oracle() -> None:
    torch.manual_seed(0)
    model = resnet18_2d(3, in_channels=2, width=4).eval()
    for name, tensor in model.state_dict().items():
        if name.endswith("running_var") or (tensor.dim() == 1 and name.endswith("weight")):
            tensor.uniform_(0.5, 1.5)
        elif tensor.dim() == 1:
            tensor.normal_()
    x = torch.randn(2, 2, 48, 56)
    with torch.no_grad():
        torch.testing.assert_close(model(x), oracle(model.state_dict(), x), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("side", "last"), [(64, 2), (100, 4), (224, 7)])
def test_shapes(side: int, last: int) -> None:
    model = resnet18_2d(4, width=8).eval()
    seen: list[tuple[int, ...]] = []
    model.get_submodule("layer4").register_forward_hook(
        lambda module, args, output: seen.append(tuple(output.shape))
    )
    with torch.no_grad():
        assert model(torch.zeros(2, 1, side, side)).shape == (2, 4)
    assert seen == [(2, 64, last, last)]


def test_initial_weights() -> None:
    """Sample mean squares against their expectations, within six standard deviations.

    Relative standard deviation of the mean of x² over n draws: √(2/n) for a normal x.
    """
    torch.manual_seed(0)
    model = resnet18_2d(2)
    for name, parameter in model.named_parameters():
        weight = parameter.detach()
        if weight.dim() == 4:
            fan_out = weight.shape[0] * weight.shape[2] * weight.shape[3]
            ratio = float(weight.square().mean()) / (2 / fan_out)
            assert abs(ratio - 1) < 6 * math.sqrt(2 / weight.numel()), name
        elif weight.dim() == 2:
            bound = 1 / math.sqrt(512)
            assert 0.98 * bound < float(weight.abs().max()) <= bound
        else:
            is_norm_weight = name.endswith("weight")
            assert weight.unique().tolist() == [1.0 if is_norm_weight else 0.0], name


def test_learns_four_images_and_uses_every_parameter() -> None:
    torch.manual_seed(0)
    model = resnet18_2d(2, width=8)
    images = torch.randn(4, 1, 64, 64)
    labels = torch.tensor([0, 1, 0, 1])
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05)
    losses = []
    for _ in range(12):
        loss = functional.cross_entropy(model(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 0}, "num_classes must be at least 1, got 0"),
        ({"num_classes": 2, "in_channels": 0}, "in_channels must be at least 1, got 0"),
        ({"num_classes": 2, "width": -1}, "width must be at least 1, got -1"),
    ],
)
def test_refuses_sizes_below_one(arguments: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        resnet18_2d(**arguments)
