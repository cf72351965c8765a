"""Local training: schedule, proximal and CORAL term, repeatability, and a small problem."""

import math
from dataclasses import replace
from typing import TypedDict, Unpack

import numpy as np
import pytest
import torch
from helpers.known import known
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ucadi_flwr.errors import RecipeError, TrainingError
from ucadi_flwr.recipes.strategy import Alignment
from ucadi_flwr.recipes.task import Training
from ucadi_flwr.training.local import LocalUpdate, train
from ucadi_flwr.training.regularisers import coral, coral_weight, proximal
from ucadi_flwr.training.schedule import learning_rate

S0 = Training()
CPU = torch.device("cpu")


class Blobs(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    """Two Gaussian blobs in 4 dimensions."""

    def __init__(self, n: int = 48, scale: float = 1.0) -> None:
        generator = torch.Generator().manual_seed(0)
        self.labels = torch.arange(n) % 2
        noise = torch.randn(n, 4, generator=generator)
        self.images = scale * (noise + 2.0 * self.labels[:, None])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        return {"image": self.images[i], "label": self.labels[i]}


def make_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))


class Changes(TypedDict, total=False):
    first_epoch: int
    epochs: int
    seed: int
    proximal_mu: float
    fine_tune: str
    alignment: Alignment | None


def local_update(**changes: Unpack[Changes]) -> LocalUpdate:
    update = LocalUpdate(first_epoch=0, epochs=3, total_epochs=10, seed=1)
    return replace(update, **changes)


def trained(training: Training = S0, **changes: Unpack[Changes]) -> tuple[nn.Module, float]:
    model = make_model()
    return model, train(model, Blobs(), training, local_update(**changes), CPU)


def vector(model: nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_s0_s_schedule_at_its_main_points() -> None:
    rates = {epoch: learning_rate(S0, epoch, 100) for epoch in (0, 2.5, 5, 52.5, 100)}
    assert rates == pytest.approx({0: 0.0, 2.5: 0.005, 5: 0.01, 52.5: 0.005, 100: 0.0})


@given(st.floats(0, 1), st.integers(1, 500), st.floats(0, 0.9))
def test_the_rate_stays_within_its_bounds(share: float, total: int, warmup: float) -> None:
    training = Training(warmup=warmup)
    rate = learning_rate(training, share * total, total)
    assert 0.0 <= rate <= training.learning_rate * (1 + 1e-12)


def test_a_schedule_without_warmup_starts_at_its_peak() -> None:
    assert learning_rate(Training(warmup=0.0), 0.0, 7) == 0.01


def test_proximal_is_half_the_squared_distance() -> None:
    a, b = [torch.tensor([1.0, 2.0]), torch.tensor([[3.0]])], [torch.zeros(2), torch.ones(1, 1)]
    assert float(proximal(a, b)) == pytest.approx(0.5 * (1 + 4 + 4))


def test_same_seed_same_bits_and_another_seed_differs() -> None:
    torch.manual_seed(99)  # whatever came before does not matter
    first, loss = trained()
    second, again = trained()
    assert torch.equal(vector(first), vector(second))
    assert loss == again
    assert not torch.equal(vector(first), vector(trained(seed=2)[0]))


def test_training_learns() -> None:
    fast = Training(**{"learning-rate": 0.1})
    _, start = trained(fast, epochs=1)
    _, end = trained(fast, epochs=10)
    assert end < 0.5 * start


def test_proximal_mu_zero_is_plain_training_and_a_large_mu_limits_the_change() -> None:
    start = vector(make_model())
    distances = {
        mu: float((vector(trained(proximal_mu=mu)[0]) - start).norm()) for mu in (0.0, 1.0, 30.0)
    }
    assert distances[0.0] > distances[1.0] > distances[30.0]
    plain, tiny = trained(proximal_mu=0.0)[0], trained(proximal_mu=1e-30)[0]
    assert torch.equal(vector(plain), vector(tiny))


def test_the_reported_loss_excludes_the_proximal_term() -> None:
    frozen = Training(**{"learning-rate": 1e-12})
    assert trained(frozen)[1] == pytest.approx(trained(frozen, proximal_mu=1000.0)[1], abs=1e-6)


def test_the_first_step_equals_a_hand_written_one() -> None:
    """One batch, one epoch: SGD's first step is −rate × (gradient + decay × weight)."""
    training = Training(**{"batch-size": 48, "weight-decay": 0.1, "warmup": 0.0})
    model, before = make_model(), make_model()
    data = Blobs()
    train(model, data, training, local_update(epochs=1), CPU)
    loss = nn.functional.cross_entropy(before(data.images), data.labels)
    loss.backward()
    rate = learning_rate(training, 0.5, 10)
    for new, old in zip(model.parameters(), before.parameters(), strict=True):
        decay = 0.1 if old.ndim > 1 else 0.0  # not on biases and normalisation
        expected = old.detach() - rate * (known(old.grad) + decay * old.detach())
        assert torch.allclose(new, expected, atol=1e-6)


def test_class_weights_change_the_loss() -> None:
    weights = {"class-weights": (0.2, 0.8), "batch-size": 48, "learning-rate": 1e-12}
    model = make_model()
    loss = train(model, Blobs(), Training(**weights), local_update(epochs=1), CPU)
    data, fresh = Blobs(), make_model()
    each = nn.functional.cross_entropy(fresh(data.images), data.labels, reduction="none")
    w = torch.tensor([0.2, 0.8])[data.labels]
    expected = (w * each.detach()).sum() / w.sum()
    assert loss == pytest.approx(float(expected), rel=1e-5)


def test_a_loss_that_is_not_finite_stops_training_with_a_remedy() -> None:
    with pytest.raises(TrainingError, match="nan in epoch 1; lower the learning rate, or"):
        train(make_model(), Blobs(scale=math.nan), S0, local_update(), CPU)
    aligned = local_update(alignment=Alignment(mu=1.0))
    remedy = r"lower tailoring\.learning-rate or tailoring\.alignment\.mu"
    with pytest.raises(TrainingError, match=remedy):
        train(make_model(), Blobs(scale=math.nan), S0, aligned, CPU)


def test_the_last_epoch_s_loss_is_weighted_by_batch_size() -> None:
    training = Training(**{"batch-size": 32, "learning-rate": 1e-12})
    data = Blobs(n=40)  # batches of 32 and 8
    model = nn.Linear(4, 2)
    loss = train(model, data, training, local_update(epochs=1), CPU)
    expected = nn.functional.cross_entropy(model(data.images), data.labels).detach()
    assert loss == pytest.approx(float(expected), rel=1e-5)
    assert np.isfinite(loss)


def test_no_alignment_and_mu_zero_are_plain_training_to_the_bit() -> None:
    plain, loss = trained()
    for alignment in (None, Alignment(mu=0.0), Alignment(mu=0.0, decay="exponential")):
        same, same_loss = trained(alignment=alignment, fine_tune="all")
        assert torch.equal(vector(same), vector(plain))
        assert same_loss == loss


def test_training_keeps_the_bits_of_frozen_layers() -> None:
    """The model has two dense layers: from the second on, only that trains."""
    model, before = make_model(), make_model()
    train(model, Blobs(), S0, local_update(fine_tune="from 3", alignment=Alignment(mu=3.0)), CPU)
    changed = {
        name
        for name, values in before.state_dict().items()
        if not torch.equal(values, model.state_dict()[name])
    }
    assert changed == {"3.weight", "3.bias"}
    assert all(p.requires_grad for p in model.parameters())


def test_alignment_adds_mu_times_coral_of_the_logits() -> None:
    """One batch, one step, against the gradient of the whole loss written out."""
    size = 16
    alignment = Alignment(mu=7.0, decay="linear")
    values = {"batch-size": size, "momentum": 0.0, "weight-decay": 0.0, "warmup": 0.0}
    recipe = Training.model_validate(values)
    model = make_model()
    where = local_update(first_epoch=4, epochs=1, alignment=alignment)
    train(model, Blobs(size), recipe, where, CPU)
    other, server = make_model(), make_model().eval()
    data = Blobs(size)
    other.train()
    logits = other(data.images)
    term = coral(server(data.images).detach(), logits)
    assert term > 0
    loss = (
        nn.functional.cross_entropy(logits, data.labels) + coral_weight(4, 10, 7.0, "linear") * term
    )
    loss.backward()
    rate = learning_rate(recipe, 4.5, 10)
    expected = torch.cat(
        [(p - rate * known(p.grad)).detach().flatten() for p in other.parameters()]
    )
    torch.testing.assert_close(vector(model), expected, rtol=1e-4, atol=1e-6)


def test_an_unknown_layer_is_reported_before_anything_changes() -> None:
    model = make_model()
    with pytest.raises(RecipeError, match="no such layer"):
        train(model, Blobs(), S0, local_update(fine_tune="from nowhere"), CPU)
    assert torch.equal(vector(model), vector(make_model()))
