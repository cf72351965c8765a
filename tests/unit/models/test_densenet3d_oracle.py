"""The 3D-DenseNet, compared with a slow independent implementation."""

from itertools import product

import pytest
import torch
from torch import Tensor, nn

from ucadi_flwr.models.densenet3d import DenseBlock, DenseNet3d

State = dict[str, Tensor]


def randomise(model: nn.Module) -> None:
    """Give every bias and BN statistic a value that shows in the output."""
    for name, tensor in model.state_dict().items():
        if name.endswith("running_var") or (tensor.dim() == 1 and name.endswith("weight")):
            tensor.uniform_(0.5, 1.5)
        elif tensor.dim() == 1:
            tensor.normal_()


def slow_conv3(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """3×3×3 convolution with zero padding, as 27 shifted matrix products."""
    depth, height, width = x.shape[2:]
    padded = torch.zeros(*x.shape[:2], depth + 2, height + 2, width + 2, dtype=x.dtype)
    padded[:, :, 1:-1, 1:-1, 1:-1] = x
    total = bias[:, None, None, None].expand(-1, depth, height, width)
    for i, j, k in product(range(3), repeat=3):
        window = padded[:, :, i : i + depth, j : j + height, k : k + width]
        total = total + torch.einsum("bcdhw,oc->bodhw", window, weight[:, :, i, j, k])
    return total


def slow_norm(state: State, name: str, x: Tensor, slope: float, *, training: bool) -> Tensor:
    """BN by its definition, then LeakyReLU."""
    mean, var = state[f"{name}.running_mean"], state[f"{name}.running_var"]
    if training:
        mean = x.mean(dim=(0, 2, 3, 4))
        var = (x - mean[:, None, None, None]).square().mean(dim=(0, 2, 3, 4))
    columns = [t[:, None, None, None] for t in (mean, var)]
    weight, bias = (state[f"{name}.{part}"][:, None, None, None] for part in ("weight", "bias"))
    y = (x - columns[0]) / torch.sqrt(columns[1] + 1e-5) * weight + bias
    return torch.where(y > 0, y, slope * y)


def slow_conv1(state: State, name: str, x: Tensor) -> Tensor:
    weight = state[f"{name}.weight"][:, :, 0, 0, 0]
    bias = state[f"{name}.bias"][:, None, None, None]
    return torch.einsum("bcdhw,oc->bodhw", x, weight) + bias


def slow_block(state: State, prefix: str, x: Tensor, slope: float, *, training: bool) -> Tensor:
    y = slow_norm(state, f"{prefix}norm1", x, slope, training=training)
    y = slow_conv1(state, f"{prefix}conv1", y)
    y = slow_norm(state, f"{prefix}norm2", y, slope, training=training)
    y = slow_conv3(y, state[f"{prefix}conv2.weight"], state[f"{prefix}conv2.bias"])
    return torch.cat([x, y], dim=1)


@pytest.mark.parametrize("training", [False, True])
def test_dense_block_agrees_with_a_slow_oracle(training: bool) -> None:
    torch.manual_seed(0)
    block = DenseBlock(5, growth=3, bottleneck=2, negative_slope=0.15).double().train(training)
    randomise(block)
    state = {name: tensor.clone() for name, tensor in block.state_dict().items()}
    x = torch.randn(2, 5, 3, 4, 5, dtype=torch.float64)
    untouched = x.clone()
    out = block(x)
    assert out.shape == (2, 5 + 3, 3, 4, 5)
    torch.testing.assert_close(out, slow_block(state, "", x, 0.15, training=training))
    assert torch.equal(x, untouched)  # the in-place activation does not change the input
    after = block.state_dict()["norm1.running_mean"]
    share = 0.1 if training else 0.0  # S0 retains 0.9 of the old statistics
    expected = (1 - share) * state["norm1.running_mean"] + share * x.mean(dim=(0, 2, 3, 4))
    torch.testing.assert_close(after, expected)


def test_network_agrees_with_a_slow_oracle() -> None:
    torch.manual_seed(0)
    model = DenseNet3d(3, width=3, growth=2, bottleneck=3, negative_slope=0.1).double().eval()
    randomise(model)
    state = model.state_dict()
    x = torch.randn(2, 1, 6, 8, 9, dtype=torch.float64)

    def norm(name: str, y: Tensor) -> Tensor:
        return slow_norm(state, name, y, 0.1, training=False)

    y = norm("stem.norm", slow_conv3(x, state["stem.conv.weight"], state["stem.conv.bias"]))
    for stage in (1, 2, 3):
        for block in (0, 1):
            y = slow_block(state, f"dense{stage}.{block}.", y, 0.1, training=False)
        if stage < 3:
            y = norm(f"transition{stage}.norm", y)
            y = slow_conv1(state, f"transition{stage}.conv", y)
            d, h, w = (side // 2 for side in y.shape[2:])
            y = y[:, :, : 2 * d, : 2 * h, : 2 * w]
            y = y.reshape(*y.shape[:2], d, 2, h, 2, w, 2).mean(dim=(3, 5, 7))
    y = norm("tail.norm", y)
    with torch.no_grad():
        torch.testing.assert_close(model.features(x), y)
        logits = y.mean(dim=(2, 3, 4)) @ state["head.weight"].T + state["head.bias"]
        torch.testing.assert_close(model(x), logits)
