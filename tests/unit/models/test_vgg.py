"""VGG16: the ImageNet checkpoint's names and meaning, shapes, initial weights, training."""

import math
from itertools import pairwise

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from ucadi_flwr.models.vgg import vgg16_2d

# Names and shapes of the usual ImageNet checkpoint of VGG16, in its order. Derived by hand from
# configuration D of Simonyan and Zisserman's table 1: a convolution and its ReLU take two numbers
# of `features`, a pooling one, so that the convolutions are at 0, 2 | 5, 7 | 10, 12, 14 | 17, 19,
# 21 | 24, 26, 28; a dense layer, its ReLU and its dropout take three numbers of `classifier`. The
# sum, 138,357,544, is the count that torchvision's page on `vgg16` publishes; times four bytes it
# is the 527.8 MiB that the page gives as the size of the file.
IMAGENET = """
features.0.weight 64 3 3 3
features.0.bias 64
features.2.weight 64 64 3 3
features.2.bias 64
features.5.weight 128 64 3 3
features.5.bias 128
features.7.weight 128 128 3 3
features.7.bias 128
features.10.weight 256 128 3 3
features.10.bias 256
features.12.weight 256 256 3 3
features.12.bias 256
features.14.weight 256 256 3 3
features.14.bias 256
features.17.weight 512 256 3 3
features.17.bias 512
features.19.weight 512 512 3 3
features.19.bias 512
features.21.weight 512 512 3 3
features.21.bias 512
features.24.weight 512 512 3 3
features.24.bias 512
features.26.weight 512 512 3 3
features.26.bias 512
features.28.weight 512 512 3 3
features.28.bias 512
classifier.0.weight 4096 25088
classifier.0.bias 4096
classifier.3.weight 4096 4096
classifier.3.bias 4096
classifier.6.weight 1000 4096
classifier.6.bias 1000
"""


def imagenet_shapes() -> list[tuple[str, tuple[int, ...]]]:
    lines = [line.split() for line in IMAGENET.strip().splitlines()]
    return [(name, tuple(int(side) for side in sides)) for name, *sides in lines]


def on_meta(num_classes: int, in_channels: int) -> nn.Module:
    """At full size without its half a gigabyte, and without drawing what is not there.

    (Torch imports for seconds before it draws from a normal distribution on this device.)
    """
    with pytest.MonkeyPatch.context() as patch, torch.device("meta"):
        patch.setattr(nn.init, "normal_", lambda tensor, **_: tensor)
        patch.setattr(nn.init, "kaiming_normal_", lambda tensor, **_: tensor)
        return vgg16_2d(num_classes, in_channels)


def parameters(model: nn.Module) -> int:
    return sum(p.numel() for p in model.parameters())


def oracle(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """Independent VGG16 in evaluation mode, from a checkpoint's names alone."""
    for stage in ((0, 2), (5, 7), (10, 12, 14), (17, 19, 21), (24, 26, 28)):
        for number in stage:
            name = f"features.{number}"
            x = functional.conv2d(x, state[f"{name}.weight"], state[f"{name}.bias"], padding=1)
            x = x.clamp(min=0)
        x = x.unfold(2, 2, 2).unfold(3, 2, 2).amax(dim=(4, 5))
    assert x.shape[2:] == (7, 7)
    x = x.reshape(len(x), -1)
    for number in (0, 3, 6):
        x = x @ state[f"classifier.{number}.weight"].T + state[f"classifier.{number}.bias"]
        x = x.clamp(min=0) if number < 6 else x
    return x


def test_state_has_the_names_order_and_shapes_of_imagenet_checkpoints() -> None:
    model = on_meta(1000, 3)
    shapes = [(name, tuple(tensor.shape)) for name, tensor in model.state_dict().items()]
    assert shapes == imagenet_shapes()
    assert parameters(model) == 138_357_544
    assert round(4 * 138_357_544 / 2**20, 1) == 527.8


def test_parameter_counts_of_s2_and_of_grey_images() -> None:
    three_classes = 138_357_544 - 997 * (4096 + 1)
    assert parameters(on_meta(3, 3)) == three_classes == 134_272_835
    assert parameters(on_meta(3, 1)) == three_classes - 2 * 64 * 9


def test_forward_agrees_with_an_independent_oracle() -> None:
    torch.manual_seed(0)
    model = vgg16_2d(3, 2, width=1).eval()
    for name, tensor in model.state_dict().items():
        if name.endswith("bias"):
            tensor.uniform_(0.0, 0.5)
        elif name.startswith("classifier"):
            tensor.normal_(std=0.1)
    x = torch.randn(2, 2, 224, 224)
    with torch.no_grad():
        logits, expected = model(x), oracle(model.state_dict(), x)
    assert expected.std() > 0.01
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("side", "last"), [(32, 1), (100, 3), (224, 7)])
def test_shapes(side: int, last: int) -> None:
    model = vgg16_2d(4, width=1).eval()
    images = torch.zeros(2, 1, side, side)
    with torch.no_grad():
        assert model.get_submodule("features")(images).shape == (2, 8, last, last)
        assert model(images).shape == (2, 4)


def test_initial_weights() -> None:
    """Sample mean squares against their expectations, within six standard deviations.

    Relative standard deviation of the mean of x² over n draws: √(2/n) for a normal x.
    """
    torch.manual_seed(0)
    model = vgg16_2d(2, width=4)
    for name, parameter in model.named_parameters():
        weight = parameter.detach()
        if weight.dim() == 1:
            assert weight.unique().tolist() == [0.0], name
            continue
        variance = 2 / (9 * weight.shape[0]) if weight.dim() == 4 else 0.01**2
        ratio = float(weight.square().mean()) / variance
        assert abs(ratio - 1) < 6 * math.sqrt(2 / weight.numel()), name


def test_learns_four_images_and_uses_every_parameter() -> None:
    torch.manual_seed(0)
    model = vgg16_2d(2, width=4)
    for module in model.modules():
        if isinstance(module, nn.Linear):  # N(0, 0.01²) is slow to leave at this width
            nn.init.kaiming_normal_(module.weight)
    images = torch.randn(4, 1, 32, 32)
    labels = torch.tensor([0, 1, 0, 1])
    optimiser = torch.optim.SGD(model.parameters(), lr=0.02)
    losses = []
    for step in range(60):
        loss = functional.cross_entropy(model(images), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert step > 0 or parameter.grad.abs().sum() > 0, name
    with torch.no_grad():
        assert functional.cross_entropy(model.eval()(images), labels) < 0.2 * losses[0]


def test_dropout_and_rectifiers_are_where_the_paper_has_them() -> None:
    model = vgg16_2d(2, width=1)
    dense = list(model.get_submodule("classifier").children())
    kinds = [type(layer).__name__ for layer in dense]
    assert kinds == ["Linear", "ReLU", "Dropout", "Linear", "ReLU", "Dropout", "Linear"]
    assert [layer.p for layer in dense if isinstance(layer, nn.Dropout)] == [0.5, 0.5]
    layers = list(model.get_submodule("features").children())
    assert all(
        isinstance(second, nn.ReLU)
        for first, second in pairwise(layers)
        if isinstance(first, nn.Conv2d)
    )


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
        vgg16_2d(**arguments)
