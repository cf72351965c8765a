"""CORAL: an independent computation, gradients, the weight, and the copy of the server's model."""

import math
from itertools import pairwise
from typing import Literal

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ucadi_flwr.training.regularisers import (
    EXPONENTIAL_END,
    coral,
    coral_weight,
    covariance,
    frozen_copy,
    server_logits,
)


def draw(b: int, d: int, seed: int) -> torch.Tensor:
    return torch.randn(b, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@given(st.integers(2, 9), st.integers(1, 6), st.integers(0, 99))
def test_coral_equals_an_independent_computation(b: int, d: int, seed: int) -> None:
    server, local = draw(b, d, seed), 3 * draw(b, d, seed + 1000) + 5
    c_s, c_t = (np.cov(x.numpy(), rowvar=False, ddof=1).reshape(d, d) for x in (server, local))
    expected = sum((c_s[i, j] - c_t[i, j]) ** 2 for i in range(d) for j in range(d)) / (4 * d * d)
    assert float(coral(server, local)) == pytest.approx(expected, rel=1e-9)
    np.testing.assert_allclose(covariance(local).numpy(), c_t, rtol=1e-9, atol=1e-12)


def test_coral_by_hand() -> None:
    # Covariances [[2, 0], [0, 0]] and [[8, 4], [4, 2]]: (36 + 16 + 16 + 4) / (4 · 2²).
    server = torch.tensor([[0.0, 1.0], [2.0, 1.0]])
    local = torch.tensor([[0.0, 0.0], [4.0, 2.0]])
    assert float(coral(server, local)) == 72 / 16


def test_equal_features_and_shifted_ones_are_aligned() -> None:
    x = draw(6, 3, 0)
    assert float(coral(x, x.clone())) == 0.0
    assert float(coral(x, x + 7)) == pytest.approx(0.0, abs=1e-20)
    assert float(coral(x, x.flip(0))) == pytest.approx(0.0, abs=1e-20)


def test_gradients_are_right_and_reach_the_local_model_only() -> None:
    server, local = draw(5, 3, 0).requires_grad_(), draw(5, 3, 1).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: coral(server.detach(), x), (local,))
    coral(server, local).backward()
    assert server.grad is None
    assert local.grad is not None
    assert local.grad.abs().sum() > 0


def test_a_batch_of_one_adds_nothing() -> None:
    local = torch.randn(1, 3, requires_grad=True)
    term = coral(torch.randn(1, 3), local)
    assert float(term) == 0.0
    (local.sum() + 0.5 * term).backward()
    assert local.grad is not None
    assert local.grad.tolist() == [[1.0, 1.0, 1.0]]


def test_features_in_float16_keep_their_type() -> None:
    assert coral(torch.ones(2, 2).half(), torch.ones(2, 2).half()).dtype == torch.float16


@pytest.mark.parametrize("shapes", [((4, 2), (4, 3)), ((4, 2), (5, 2)), ((4, 2, 1), (4, 2, 1))])
def test_other_shapes_are_refused(shapes: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    with pytest.raises(ValueError, match=r"CORAL needs two tensors \(B, d\), got"):
        coral(torch.zeros(shapes[0]), torch.zeros(shapes[1]))


def test_coral_weight_at_the_ends_of_the_run() -> None:
    assert [coral_weight(step, 4, 0.5, "linear") for step in range(5)] == [
        0.5,
        0.375,
        0.25,
        0.125,
        0.0,
    ]
    exponential = [coral_weight(step, 2, 10.0, "exponential") for step in range(3)]
    assert exponential == pytest.approx([10.0, 1.0, 10.0 * EXPONENTIAL_END])
    assert coral_weight(3, 7, 0.0, "linear") == coral_weight(3, 7, 0.0, "exponential") == 0.0


@given(st.sampled_from(["linear", "exponential"]), st.integers(1, 1000), st.floats(1e-6, 1e6))
def test_coral_weight_decreases_with_every_step(
    decay: Literal["linear", "exponential"], total: int, start: float
) -> None:
    values = [coral_weight(step, total, start, decay) for step in range(total + 1)]
    assert values[0] == start
    assert all(a > b >= 0.0 for a, b in pairwise(values))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((-1, 4, 1.0, "linear"), r"in \[0, total\] with total > 0, got -1 of 4"),
        ((5, 4, 1.0, "linear"), "got 5 of 4"),
        ((0, 0, 1.0, "linear"), "got 0 of 0"),
        ((math.nan, 4, 1.0, "linear"), "got nan of 4"),
        ((0, 4, -1.0, "linear"), "must start at 0 or above, got -1.0"),
        ((0, 4, math.inf, "linear"), "must start at 0 or above, got inf"),
        ((0, 4, 1.0, "cosine"), "linear or exponential, got 'cosine'"),
    ],
)
def test_coral_weight_refuses_arguments_out_of_range(
    arguments: tuple[float, float, float, str], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        coral_weight(*arguments)  # type: ignore[arg-type]


def test_the_copy_of_the_server_s_model_does_not_change() -> None:
    torch.manual_seed(0)
    local = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Dropout(0.5), nn.Linear(4, 2))
    server = frozen_copy(local)
    before = {name: tensor.clone() for name, tensor in server.state_dict().items()}
    assert local.training
    assert all(p.requires_grad for p in local.parameters())
    optimiser = torch.optim.SGD(local.parameters(), lr=0.1)
    x = torch.randn(6, 3)
    first = server_logits(server, x)
    assert not first.requires_grad
    for _ in range(2):
        optimiser.zero_grad()
        coral(server_logits(server, x), local(x)).backward()
        optimiser.step()
    assert all(torch.equal(before[name], t) for name, t in server.state_dict().items())
    assert torch.equal(server_logits(server, x), first)
    assert not torch.equal(local.state_dict()["3.weight"], before["3.weight"])


def test_alignment_pulls_second_moments_together() -> None:
    torch.manual_seed(0)
    server = nn.Linear(4, 3)
    local = nn.Linear(4, 3)
    x = torch.randn(32, 4)
    with torch.no_grad():
        local.weight.mul_(3)
    optimiser = torch.optim.SGD(local.parameters(), lr=0.1)
    terms = []
    for _ in range(200):
        term = coral(server_logits(server, x), local(x))
        optimiser.zero_grad()
        term.backward()
        optimiser.step()
        terms.append(float(term.detach()))
    assert terms[-1] < 0.01 * terms[0]
