"""The state of a model: float tensors by name; a state that does not fit is refused."""

import numpy as np
import pytest
import torch
from torch import nn

from ucadi_flwr.errors import FederationError
from ucadi_flwr.models.state import check_state, read_state, trainable_names, write_state


def make() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def test_the_state_has_floats_and_no_counters() -> None:
    model = make()
    model(torch.randn(5, 3))
    state = read_state(model)
    assert list(state) == [
        *("0.weight", "0.bias", "1.weight", "1.bias", "1.running_mean", "1.running_var"),
    ]
    assert all(values.dtype == np.float32 for values in state.values())
    other = make()
    write_state(other, state)
    assert int(other.get_buffer("1.num_batches_tracked")) == 0
    again = read_state(other)
    assert all(again[name].tobytes() == state[name].tobytes() for name in state)


def test_a_state_is_a_copy() -> None:
    model = make()
    state = read_state(model)
    state["0.bias"][:] = 7
    assert not (model.get_parameter("0.bias") == 7).any()


def test_trainable_names() -> None:
    model = make()
    model.get_parameter("0.bias").requires_grad_(False)
    assert trainable_names(model) == ["0.weight", "1.weight", "1.bias"]


def test_a_state_that_does_not_fit_changes_nothing() -> None:
    model = make()
    before = read_state(model)
    state = read_state(make())
    state["1.running_var"] = np.full(2, np.nan, np.float32)
    state["0.weight"] = state["0.weight"] + 1
    with pytest.raises(FederationError, match=r"'1\.running_var' holds values that are not finite"):
        write_state(model, state)
    assert all(np.array_equal(read_state(model)[name], before[name]) for name in before)


def test_shapes_and_names_are_checked() -> None:
    good = {"w": np.zeros(2, np.float32)}
    check_state(good, {"w": (2,)})
    with pytest.raises(FederationError, match="lacks 1 tensors, 'v' first"):
        check_state(good, {"w": (2,), "v": (1,)})
    with pytest.raises(FederationError, match="1 tensors too many, 'w' first"):
        check_state(good, {})
    with pytest.raises(FederationError, match=r"float32 \(2,\), expected float32 \(3,\)"):
        check_state(good, {"w": (3,)})
