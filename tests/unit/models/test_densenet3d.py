"""The 3D-DenseNet: the published counts and layer table, initial weights, training."""

import math
from itertools import pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from ucadi_flwr.models.densenet3d import DenseNet3d
from ucadi_flwr.models.dropblock import DropBlock3d, ScheduledDropBlock3d

SCHEDULE = "tail.drop.calls"


def small(num_classes: int = 3, *, dropblock_stem: float = 0.1) -> DenseNet3d:
    return DenseNet3d(num_classes, width=4, growth=4, dropblock_stem=dropblock_stem)


def tail_p(model: DenseNet3d) -> float:
    drop = model.get_submodule("tail.drop")
    assert isinstance(drop, ScheduledDropBlock3d)
    return drop.p


@pytest.mark.parametrize(("num_classes", "count"), [(4, 726_972), (2, 726_730)])
def test_parameter_count(num_classes: int, count: int) -> None:
    model = DenseNet3d(num_classes)
    assert sum(p.numel() for p in model.parameters() if p.requires_grad) == count


def test_state_is_that_of_the_papers_network_and_the_schedules_count() -> None:
    state = DenseNet3d(4).state_dict()
    calls = state.pop(SCHEDULE)
    assert calls.dtype == torch.int64
    assert calls.shape == ()
    buffers = [tensor for name, tensor in state.items() if "running_" in name]
    integers = [name for name, tensor in state.items() if not tensor.is_floating_point()]
    assert len(state) == 112
    assert sum(tensor.numel() for tensor in state.values()) == 729_980
    assert sum(tensor.numel() for tensor in buffers) == 2_992
    assert len(integers) == 16
    assert all(name.endswith("num_batches_tracked") for name in integers)


def test_the_modules_are_those_of_the_papers() -> None:
    modules = list(DenseNet3d(4).modules())
    convolutions = [m for m in modules if isinstance(m, nn.Conv3d)]
    norms = [m for m in modules if isinstance(m, nn.BatchNorm3d)]
    slopes = {m.negative_slope for m in modules if isinstance(m, nn.LeakyReLU)}
    assert len(convolutions) == 15
    assert all(m.bias is not None for m in convolutions)
    assert len(norms) == 16
    assert {(m.momentum, m.eps) for m in norms} == {(0.1, 1e-5)}
    assert slopes == {0.2}
    [fixed] = [m for m in modules if isinstance(m, DropBlock3d)]
    [scheduled] = [m for m in modules if isinstance(m, ScheduledDropBlock3d)]
    assert (fixed.p, fixed.block_size) == (0.1, 5)
    assert (scheduled.p_final, scheduled.block_size, scheduled.steps) == (0.5, 5, 5000)


def test_layer_table_multiply_adds_and_gradients_at_full_size() -> None:
    torch.manual_seed(0)
    model = DenseNet3d(4)
    shapes: dict[str, tuple[int, ...]] = {}
    multiply_adds = 0

    def hook(name: str, module: nn.Module, output: Tensor) -> None:
        nonlocal multiply_adds
        shapes[name] = tuple(output.shape)
        if isinstance(module, nn.Conv3d):
            multiply_adds += output[0, 0].numel() * module.weight.numel()

    for name, module in model.named_modules():
        module.register_forward_hook(lambda m, args, out, name=name: hook(name, m, out))
    logits = model(torch.randn(1, 1, 16, 128, 128))
    table = {
        "stem": (32, 16, 128, 128),
        "dense1.0": (64, 16, 128, 128),
        "dense1.0.conv1": (128, 16, 128, 128),
        "dense1.1": (96, 16, 128, 128),
        "transition1": (48, 8, 64, 64),
        "dense2.0": (80, 8, 64, 64),
        "dense2.1": (112, 8, 64, 64),
        "transition2": (56, 4, 32, 32),
        "dense3.0": (88, 4, 32, 32),
        "dense3.1": (120, 4, 32, 32),
        "tail": (120, 4, 32, 32),
    }
    assert {name: shapes[name] for name in table} == {n: (1, *s) for n, s in table.items()}
    assert logits.shape == (1, 4)
    assert round(multiply_adds / 1e9, 1) == 71.6
    functional.cross_entropy(logits, torch.tensor([1])).backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


@pytest.mark.parametrize("volume", [(16, 48, 48), (16, 64, 64), (4, 4, 4), (5, 7, 11)])
def test_smaller_volumes_and_widths(volume: tuple[int, int, int]) -> None:
    model = DenseNet3d(2, in_channels=2, width=8, growth=8).eval()
    x = torch.randn(3, 2, *volume)
    with torch.no_grad():
        features = model.features(x)
        # 8 → 24 → 12 → 28 → 14 → 30 channels
        assert features.shape == (3, 30, *(side // 4 for side in volume))
        expected = features.mean(dim=(2, 3, 4)) @ model.head.weight.T + model.head.bias
        torch.testing.assert_close(model(x), expected)


@pytest.mark.parametrize(
    ("compression", "channels"), [(1.0, (24, 40)), (0.5, (12, 14)), (0.29, (6, 6))]
)
def test_compression_rounds_down(compression: float, channels: tuple[int, int]) -> None:
    model = DenseNet3d(2, width=8, growth=8, compression=compression)
    for name, count in zip(("transition1", "transition2"), channels, strict=True):
        assert model.get_submodule(f"{name}.conv").out_channels == count


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 1, 3, 16, 16), r"\(3, 16, 16\) is too small for the two poolings"),
        ((1, 1, 16, 16, 2), "each side must be at least 4 voxels"),
        ((1, 2, 16, 16, 16), r"needs \(B, 1, D, H, W\), got shape \(1, 2, 16, 16, 16\)"),
        ((1, 16, 16, 16), r"needs \(B, 1, D, H, W\), got shape \(1, 16, 16, 16\)"),
    ],
)
def test_refuses_inputs_that_do_not_fit(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        small()(torch.zeros(shape))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_classes": 0}, "num_classes must be at least 1, got 0"),
        ({"num_classes": 2, "growth": 0}, "growth must be at least 1, got 0"),
        ({"num_classes": 2, "compression": 0.0}, r"compression must lie in \(0, 1\], got 0.0"),
        ({"num_classes": 2, "compression": 0.001}, "compression 0.001 leaves none of 96"),
        ({"num_classes": 2, "negative_slope": -0.1}, r"negative_slope must lie in \[0, 1\)"),
        ({"num_classes": 2, "dropblock_stem": 2.0}, "drop probability"),
    ],
)
def test_refuses_arguments_out_of_range(arguments: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DenseNet3d(**arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("slope", [0.2, 0.1])
def test_initial_weights_are_kaiming_uniform_for_the_slope(slope: float) -> None:
    """Bound b = √(6 / ((1 + a²) fan_in)) reached but not passed; mean square b²/3.

    x² of a uniform x has variance 4b⁴/45, so over n draws the mean square's relative standard
    deviation is √(4/45) · 3 / √n < 0.9/√n; six are allowed.
    """
    torch.manual_seed(0)
    weights = 0
    for name, parameter in DenseNet3d(4, negative_slope=slope).named_parameters():
        weight = parameter.detach()
        if weight.dim() > 1:
            weights += 1
            bound = math.sqrt(6 / ((1 + slope**2) * weight[0].numel()))
            # Rounding to float32 may pass the bound by one part in 2²⁴.
            assert 0.98 < float(weight.abs().max()) / bound < 1 + 1e-6, name
            ratio = float(weight.double().square().mean()) / (bound**2 / 3)
            assert abs(ratio - 1) < 6 * 0.9 / math.sqrt(weight.numel()), name
        else:
            is_norm_weight = name.endswith("weight")
            assert weight.unique().tolist() == [1.0 if is_norm_weight else 0.0], name
    assert weights == 16


def test_one_step_uses_every_parameter_and_counts_once() -> None:
    torch.manual_seed(0)
    model = small()
    model(torch.randn(2, 1, 8, 16, 16)).square().sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        if parameter.dim() > 1 or "norm" in name:
            assert parameter.grad.abs().max() > 0, name
    # Nothing is recomputed in the backward pass: each statistic is updated once.
    counts = [t for name, t in model.state_dict().items() if name.endswith("tracked")]
    assert [int(count) for count in counts] == [1] * 16
    assert int(model.state_dict()[SCHEDULE]) == 1


def test_learns_four_volumes() -> None:
    torch.manual_seed(0)
    model = small(2)
    volumes = torch.randn(4, 1, 8, 16, 16)
    labels = torch.tensor([0, 1, 1, 0])
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    losses = []
    for _ in range(25):
        loss = functional.cross_entropy(model(volumes), labels)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.3 * losses[0]


def test_the_seed_fixes_weights_and_masks() -> None:
    def run(seed: int) -> Tensor:
        torch.manual_seed(seed)
        model = small()
        model.set_schedule(5000)
        out: Tensor = model(torch.ones(2, 1, 8, 16, 16)).detach()
        return out

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))


def test_set_schedule_moves_the_tails_probability_and_survives_a_file(tmp_path: Path) -> None:
    model = small()
    assert tail_p(model) == 0.0
    model.set_schedule(2500)
    assert tail_p(model) == pytest.approx(0.25)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    restored = small()
    restored.load_state_dict(load_file(tmp_path / "model.safetensors"))
    assert tail_p(restored) == pytest.approx(0.25)
    x = torch.randn(1, 1, 8, 16, 16)
    with torch.no_grad():
        assert torch.equal(model.eval()(x), restored.eval()(x))
    assert int(restored.state_dict()[SCHEDULE]) == 2500  # evaluation does not count
    with pytest.raises(ValueError, match="must not be negative"):
        model.set_schedule(-1)


def test_features_drop_cubes_in_training_only() -> None:
    torch.manual_seed(0)
    model = small(dropblock_stem=0.0)
    model.set_schedule(5000)
    x = torch.randn(1, 1, 16, 32, 32)
    features = model.features(x).detach()
    masks = (features[0] == 0).unbind(0)
    assert masks[0].any()
    assert not masks[0].all()
    assert all(torch.equal(a, b) for a, b in pairwise(masks))
    assert (model.eval().features(x) != 0).all()
