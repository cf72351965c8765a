"""DropBlock in three dimensions: the mask, the rescaling, the schedule and its state."""

import math
from collections.abc import Callable
from itertools import product
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from ucadi_flwr.models import dropblock
from ucadi_flwr.models.dropblock import DropBlock3d, ScheduledDropBlock3d, drop_block_3d

Centre = tuple[int, int, int, int]  # sample, depth, row, column


def plant(monkeypatch: pytest.MonkeyPatch, centres: list[Centre]) -> None:
    """Make the uniform draw 0 (a centre at any p > 0) at ``centres`` and 1 (never) elsewhere."""

    def rand(*shape: int, device: torch.device) -> Tensor:
        draw = torch.ones(*shape, device=device)
        for sample, d, h, w in centres:
            draw[sample, 0, d, h, w] = 0.0
        return draw

    monkeypatch.setattr(torch, "rand", rand)


def slow_kept(centres: Tensor, block_size: int) -> Tensor:
    """Independent oracle: loop over voxels, clear the cube around every centre. (B, D, H, W)."""
    kept = torch.ones(centres.shape)
    reach = block_size // 2
    for sample, *centre in centres.nonzero().tolist():
        for offset in product(range(-reach, reach + 1), repeat=3):
            voxel = [c + o for c, o in zip(centre, offset, strict=True)]
            if all(0 <= v < n for v, n in zip(voxel, centres.shape[1:], strict=True)):
                kept[(sample, *voxel)] = 0
    return kept


# --- the mask ---------------------------------------------------------------------------------


def test_one_interior_centre_drops_one_cube_of_125_in_every_channel(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plant(monkeypatch, [(1, 4, 5, 6)])
    out = drop_block_3d(torch.ones(2, 3, 10, 11, 12), p=0.1, block_size=5)
    dropped = (out == 0).nonzero()
    assert len(dropped) == 3 * 125
    assert dropped.min(dim=0).values.tolist() == [1, 0, 2, 3, 4]
    assert dropped.max(dim=0).values.tolist() == [1, 2, 6, 7, 8]


@pytest.mark.parametrize(
    ("centre", "voxels"),
    [((0, 0, 0, 0), 27), ((0, 0, 4, 4), 75), ((0, 1, 1, 4), 80), ((0, 7, 7, 7), 27)],
)
def test_the_border_cuts_cubes(
    monkeypatch: pytest.MonkeyPatch, centre: Centre, voxels: int
) -> None:
    plant(monkeypatch, [centre])
    out = drop_block_3d(torch.ones(1, 1, 8, 8, 8), p=0.1, block_size=5)
    assert int((out == 0).sum()) == voxels


def test_overlapping_cubes_are_united(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, [(0, 3, 3, 3), (0, 3, 3, 5)])
    out = drop_block_3d(torch.ones(1, 1, 8, 8, 9), p=0.1, block_size=3)
    assert int((out == 0).sum()) == 2 * 27 - 9


@settings(max_examples=40, deadline=None)
@given(
    shape=st.tuples(*[st.integers(1, hi) for hi in (3, 3, 7, 7, 7)]),
    p=st.floats(0.01, 1.0),
    block_size=st.sampled_from([1, 3, 5, 7]),
    seed=st.integers(0, 2**32 - 1),
)
def test_agrees_with_a_slow_oracle(
    shape: tuple[int, ...], p: float, block_size: int, seed: int
) -> None:
    torch.manual_seed(seed)
    x = torch.randn(shape)
    torch.manual_seed(seed)
    centres = torch.rand(shape[0], 1, *shape[2:])[:, 0] < p / block_size**3
    kept = slow_kept(centres, block_size)
    expected = torch.zeros(shape)
    if kept.any():
        expected = x * kept[:, None] * (kept.numel() / float(kept.sum()))
    torch.manual_seed(seed)
    torch.testing.assert_close(drop_block_3d(x, p, block_size), expected)


def test_kept_fraction_is_near_one_minus_p() -> None:
    """Its expectation is exact, and Efron–Stein bounds its variance.

    A voxel that n(v) centres reach is kept with probability (1 − γ)^n(v). Redrawing one of the N
    centres moves at most 5³ voxels, so var(kept voxels) ≤ N · 5⁶ · γ and the fraction's standard
    deviation is at most 125 · √(γ/N) = √(125 p/N). Five of them are allowed.
    """
    p, shape = 0.1, (32, 1, 16, 32, 32)
    gamma, voxels = p / 125, math.prod(shape)

    def reach(size: int) -> Tensor:
        return torch.tensor([min(i + 2, size - 1) - max(i - 2, 0) + 1 for i in range(size)])

    n = reach(16)[:, None, None] * reach(32)[:, None] * reach(32)
    expected = float(((1 - gamma) ** n.double()).mean())
    torch.manual_seed(3)
    kept = float((drop_block_3d(torch.ones(shape), p, 5) != 0).double().mean())
    deviation = math.sqrt(125 * p / voxels)
    assert abs(kept - expected) < 5 * deviation
    # Union bound: never fewer than 1 − p; Bonferroni and the cut cubes: not many more.
    assert 1 - p <= expected <= 1 - p + 0.03


# --- the rescaling ----------------------------------------------------------------------------


def test_rescaling_keeps_the_sum_of_a_constant() -> None:
    torch.manual_seed(0)
    out = drop_block_3d(torch.ones(4, 2, 8, 16, 16), p=0.3, block_size=3)
    assert 0 < int((out == 0).sum()) < out.numel()
    assert float(out.double().sum()) == pytest.approx(out.numel(), rel=1e-6)


def test_rescaling_counts_the_whole_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    plant(monkeypatch, [(0, 1, 1, 1)])
    out = drop_block_3d(torch.ones(2, 1, 3, 3, 4), p=0.1, block_size=3)
    # 72 voxels, 27 of them dropped, all in the first sample.
    assert out[1].unique().tolist() == pytest.approx([72 / 45])
    assert out[0].unique().tolist() == pytest.approx([0, 72 / 45])


def test_if_no_voxel_is_kept_output_and_gradient_are_zero(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    plant(monkeypatch, [(0, 1, 1, 1)])
    x = torch.ones(1, 2, 3, 3, 3, requires_grad=True)
    out = drop_block_3d(x, p=1.0, block_size=3)
    out.sum().backward()
    assert out.detach().tolist() == torch.zeros_like(out).tolist()
    assert x.grad is not None
    assert x.grad.tolist() == torch.zeros_like(out).tolist()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_keeps_the_dtype_and_counts_beyond_float16(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    out = drop_block_3d(torch.ones(1, 1, 16, 80, 80, dtype=dtype), p=0.1, block_size=5)
    assert out.numel() > torch.finfo(torch.float16).max
    assert out.dtype == dtype
    scale = out.numel() / int((out != 0).sum())
    assert float(out.max()) == pytest.approx(scale, rel=float(torch.finfo(dtype).eps) + 1e-6)


# --- the two modules --------------------------------------------------------------------------


def modules() -> list[DropBlock3d | ScheduledDropBlock3d]:
    ready = ScheduledDropBlock3d(0.5, block_size=3, steps=10)
    ready.set_calls(10)
    return [DropBlock3d(0.5, block_size=3), ready]


@pytest.mark.parametrize("drop", modules(), ids=lambda drop: type(drop).__name__)
def test_evaluation_is_the_identity_and_training_is_not(
    drop: DropBlock3d | ScheduledDropBlock3d,
) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 3, 6, 8, 8)
    assert drop.eval()(x) is x
    assert not torch.equal(drop.train()(x), x)


@pytest.mark.parametrize("drop", modules(), ids=lambda drop: type(drop).__name__)
def test_the_global_seed_fixes_the_mask(drop: DropBlock3d | ScheduledDropBlock3d) -> None:
    def draw(seed: int) -> Tensor:
        torch.manual_seed(seed)
        out: Tensor = drop(torch.ones(2, 1, 6, 8, 8))
        return out

    assert torch.equal(draw(1), draw(1))
    assert not torch.equal(draw(1), draw(2))


def test_probability_zero_returns_the_input_and_draws_nothing() -> None:
    x = torch.randn(1, 1, 4, 4, 4)
    before = torch.get_rng_state()
    assert DropBlock3d(0.0)(x) is x
    assert ScheduledDropBlock3d(0.5)(x) is x  # the first call: p = 0
    assert torch.equal(torch.get_rng_state(), before)


def test_the_fixed_module_has_no_state() -> None:
    assert DropBlock3d(0.1).state_dict() == {}


@pytest.mark.parametrize(
    ("calls", "p"), [(0, 0.0), (1, 1e-4), (2500, 0.25), (5000, 0.5), (6000, 0.5)]
)
def test_schedule_rises_linearly_and_stays(calls: int, p: float) -> None:
    drop = ScheduledDropBlock3d(0.5, steps=5000)
    drop.set_calls(calls)
    assert drop.p == pytest.approx(p, abs=1e-15)


def test_each_training_call_uses_the_next_probability(monkeypatch: pytest.MonkeyPatch) -> None:
    used: list[float] = []

    def spy(x: Tensor, p: float, block_size: int) -> Tensor:
        used.append(p)
        assert block_size == 3
        return x

    monkeypatch.setattr(dropblock, "drop_block_3d", spy)
    drop = ScheduledDropBlock3d(0.4, block_size=3, steps=4)
    x = torch.ones(1, 1, 3, 3, 3)
    for _ in range(6):
        drop.train()(x)
        drop.eval()(x)
    assert used == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4, 0.4])
    assert int(drop.calls) == 6


def test_evaluation_does_not_count() -> None:
    drop = ScheduledDropBlock3d(0.5, steps=4).eval()
    for _ in range(3):
        drop(torch.ones(1, 1, 3, 3, 3))
    assert int(drop.calls) == 0


def test_the_count_is_an_int64_buffer_that_survives_a_file(tmp_path: Path) -> None:
    drop = ScheduledDropBlock3d(0.5, steps=8)
    for _ in range(3):
        drop(torch.ones(1, 1, 5, 5, 5))
    save_file(drop.state_dict(), tmp_path / "drop.safetensors")
    restored = ScheduledDropBlock3d(0.5, steps=8)
    restored.load_state_dict(load_file(tmp_path / "drop.safetensors"))
    assert list(restored.state_dict()) == ["calls"]
    assert restored.calls.dtype == torch.int64
    assert int(restored.calls) == 3
    assert restored.p == pytest.approx(0.5 * 3 / 8)


@pytest.mark.parametrize(
    ("drop", "text"),
    [
        (DropBlock3d(0.1, 5), "DropBlock3d(p=0.1, block_size=5)"),
        (
            ScheduledDropBlock3d(0.5, 3, 7),
            "ScheduledDropBlock3d(p_final=0.5, block_size=3, steps=7)",
        ),
    ],
)
def test_repr_shows_the_arguments(drop: nn.Module, text: str) -> None:
    assert repr(drop) == text


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: DropBlock3d(-0.1), "probability"),
        (lambda: DropBlock3d(float("nan")), "probability"),
        (lambda: ScheduledDropBlock3d(1.1), "probability"),
        (lambda: DropBlock3d(0.1, block_size=4), "odd"),
        (lambda: ScheduledDropBlock3d(0.1, block_size=-1), "odd"),
        (lambda: ScheduledDropBlock3d(0.1, steps=0), "steps must be at least 1, got 0"),
        (lambda: ScheduledDropBlock3d(0.1).set_calls(-1), "must not be negative, got -1"),
        (lambda: drop_block_3d(torch.ones(1, 4, 4, 4), 0.1, 5), r"\(1, 4, 4, 4\)"),
    ],
)
def test_refuses_arguments_out_of_range(call: Callable[[], object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call()
