"""A network's head and normalisation layers, and the division of its state into two parts."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ucadi_flwr.errors import FederationError, RecipeError
from ucadi_flwr.models.densenet3d import DenseNet3d
from ucadi_flwr.models.parts import (
    head_layers,
    in_layers,
    local_tensor_names,
    merge,
    output_layer,
    split,
)
from ucadi_flwr.models.resnet import resnet18_2d
from ucadi_flwr.models.state import read_state, write_state
from ucadi_flwr.models.vgg import vgg16_2d

NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[str, ...]]] = {
    "vgg16": (lambda: vgg16_2d(3, width=1), ("classifier.3", "classifier.6")),
    "resnet18": (lambda: resnet18_2d(3, width=2), ("fc",)),
    "densenet3d": (lambda: DenseNet3d(3, width=2, growth=2), ("head",)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_the_head_is_the_last_two_dense_layers_and_the_last_gives_the_logits(name: str) -> None:
    make, layers = NETWORKS[name]
    model = make()
    assert head_layers(model) == layers
    assert output_layer(model) == layers[-1]
    local = local_tensor_names(model, "head")
    assert local == {f"{layer}.{part}" for layer in layers for part in ("weight", "bias")}


def test_a_network_without_dense_layers_has_no_head() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3))
    with pytest.raises(ValueError, match="no dense layer"):
        output_layer(model)
    with pytest.raises(RecipeError, match="no head that could stay"):
        local_tensor_names(model, "head")


def test_normalisation_is_found_by_type_with_its_statistics_and_without_counters() -> None:
    model = resnet18_2d(3, width=2)
    local = local_tensor_names(model, "normalisation")
    parts = ("weight", "bias", "running_mean", "running_var")
    layers = {name for name, m in model.named_modules() if type(m) is nn.BatchNorm2d}
    assert len(layers) == 20
    assert local == {f"{layer}.{part}" for layer in layers for part in parts}
    assert local < read_state(model).keys()


@pytest.mark.parametrize(
    "layer",
    [
        nn.BatchNorm1d(4),
        nn.BatchNorm3d(4),
        nn.InstanceNorm2d(4, affine=True),
        nn.GroupNorm(2, 4),
        nn.LayerNorm(4),
    ],
)
def test_every_kind_of_normalisation_counts(layer: nn.Module) -> None:
    model = nn.Sequential(nn.Conv2d(1, 4, 3), layer)
    assert local_tensor_names(model, "normalisation") == {
        f"1.{name}" for name, t in layer.state_dict().items() if t.is_floating_point()
    }


def test_none_is_none() -> None:
    model = resnet18_2d(3, width=2)
    assert local_tensor_names(model, "none") == local_tensor_names(model, []) == frozenset()


def test_layers_by_name_need_a_whole_name() -> None:
    model = nn.ModuleDict({"fc": nn.Linear(1, 1), "fc2": nn.Linear(1, 1)})
    assert (
        local_tensor_names(model, ["fc"])
        == local_tensor_names(model, ["fc."])
        == {"fc.weight", "fc.bias"}
    )
    assert local_tensor_names(model, ["fc2.bias", "fc"]) == {"fc.weight", "fc.bias", "fc2.bias"}
    assert not in_layers("fc2.bias", ["fc"])


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ("heads", "'heads' is not a part of a network: write none, normalisation, head or a list"),
        ("normalisation", "this network has no normalisation that could stay at the sites"),
        (["classifier", "fc"], "named 'fc'; it has features, avgpool, flatten, classifier"),
        ([""], "layer or tensor named ''"),
        (["features", "classifier"], "no tensor would be shared"),
    ],
)
def test_a_choice_of_no_tensor_or_of_all_is_refused(choice: list[str], message: str) -> None:
    with pytest.raises(RecipeError, match=message) as caught:
        local_tensor_names(vgg16_2d(2, width=1), choice)
    assert "\n" not in str(caught.value)


@given(st.sets(st.sampled_from("abcdefgh")), st.permutations("abcdefgh"))
def test_split_and_merge_are_inverse_whatever_stays(local: set[str], order: list[str]) -> None:
    state = {name: i for i, name in enumerate(order)}
    shared, kept = split(state, local)
    assert kept.keys() == local
    assert [*shared, *kept] == sorted(state, key=lambda name: (name in local, state[name]))
    assert list(merge(shared, kept, order).items()) == list(state.items())


def test_a_site_keeps_its_normalisation_and_receives_the_rest() -> None:
    torch.manual_seed(0)
    site, server = resnet18_2d(3, width=2), resnet18_2d(3, width=2)
    site(torch.randn(4, 1, 32, 32))
    local = local_tensor_names(site, "normalisation")
    before = read_state(site)
    mine, theirs = split(before, local)[1], split(read_state(server), local)[0]
    write_state(site, merge(theirs, mine, list(before)))
    after = read_state(site)
    for name, values in after.items():
        expected = before if name in local else read_state(server)
        assert np.array_equal(values, expected[name]), name
    assert not np.array_equal(after["bn1.running_mean"], read_state(server)["bn1.running_mean"])


def test_parts_that_do_not_match_are_refused() -> None:
    state = {"a": 1, "b": 2}
    with pytest.raises(FederationError, match="lacks 1 tensors that stay local, 'c' first"):
        split(state, {"a", "c"})
    with pytest.raises(FederationError, match="1 tensors are both shared and local, 'b' first"):
        merge(state, {"b": 3}, ["a", "b"])
    for shared, local in (({"a": 1}, {}), ({"a": 1}, {"b": 2, "c": 3})):
        with pytest.raises(FederationError, match="1 tensors are missing or too many"):
            merge(shared, local, ["a", "b"])
