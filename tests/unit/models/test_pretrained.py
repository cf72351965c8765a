"""Initial weights from files: a file that fits is loaded to the bit."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import tiny
from helpers.checkpoints import State, floats, load_checkpoint, other_state, resnet, save_checkpoint
from safetensors.torch import save_file
from torch import nn

from ucadi_flwr.errors import DataError
from ucadi_flwr.models.densenet3d import DenseNet3d
from ucadi_flwr.models.factory import make_model
from ucadi_flwr.models.files import save_model
from ucadi_flwr.models.pretrained import LoadReport, load_initial
from ucadi_flwr.models.resnet import resnet18_2d
from ucadi_flwr.models.state import read_state
from ucadi_flwr.models.vgg import vgg16_2d
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.recipes.task import TaskRecipe


def write_safetensors(state: State, path: Path) -> None:
    save_file(state, path)


def write_nested(state: State, path: Path) -> None:
    prefixed = {
        f"module.{name}": nn.Parameter(t, t.is_floating_point()) for name, t in state.items()
    }
    torch.save({"epoch": 90, "arch": "resnet18", "state_dict": prefixed}, path)


def write_legacy(state: State, path: Path) -> None:  # as the ImageNet files of 2017 are
    torch.save(state, path, _use_new_zipfile_serialization=False)


def write_without_counters(state: State, path: Path) -> None:  # as they were before 2018
    torch.save({name: t for name, t in state.items() if t.is_floating_point()}, path)


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("a.safetensors", write_safetensors),
        ("a.pth", torch.save),
        ("a.pt", torch.save),
        ("nested.pth", write_nested),
        ("legacy.pth", write_legacy),
        ("bare.pth", write_without_counters),
    ],
)
def test_every_kind_of_file_loads_to_the_bit(
    tmp_path: Path, name: str, write: Callable[[State, Path], None]
) -> None:
    model, state = resnet(), other_state()
    write(state, tmp_path / name)
    report = load_checkpoint(tmp_path / name, model)
    for own, tensor in model.state_dict().items():
        expected = state[own] if tensor.is_floating_point() else torch.zeros_like(tensor)
        assert torch.equal(tensor, expected), own
    digest = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    assert report == LoadReport(digest, tuple(floats(model)), (), None, {})
    assert all(p.requires_grad and p.is_leaf for p in model.parameters())


def test_other_precisions_are_converted(tmp_path: Path) -> None:
    state = other_state()
    state["fc.weight"] = state["fc.weight"].double()
    state["conv1.weight"] = state["conv1.weight"].half()
    state["bn1.bias"] = state["bn1.bias"].bfloat16()
    model = resnet()
    load_checkpoint(save_checkpoint(tmp_path, state), model)
    for name in ("fc.weight", "conv1.weight", "bn1.bias"):
        assert torch.equal(model.state_dict()[name], state[name].float())


def test_a_head_of_another_size_stays_fresh(tmp_path: Path) -> None:
    state, model = other_state(classes=7), resnet()
    before = read_state(model)
    report = load_checkpoint(save_checkpoint(tmp_path, state), model)
    assert report.fresh == ("fc.weight", "fc.bias")
    assert report.loaded == tuple(name for name in before if name not in report.fresh)
    for name, values in read_state(model).items():
        expected = before[name] if name in report.fresh else state[name].numpy()
        assert np.array_equal(values, expected), name


def test_a_head_layer_is_replaced_as_a_whole_and_only_where_it_differs(tmp_path: Path) -> None:
    torch.manual_seed(0)
    state, model = vgg16_2d(7, 3, width=1).state_dict(), vgg16_2d(2, 3, width=1)
    state["classifier.6.weight"] = state["classifier.6.weight"].fill_(torch.nan)  # never looked at
    state["classifier.6.bias"] = state["classifier.6.bias"][:2]
    path = save_checkpoint(tmp_path, state)
    report = load_initial(path, model, ["classifier.3", "classifier.6"])
    assert report.fresh == ("classifier.6.weight", "classifier.6.bias")
    assert torch.equal(model.state_dict()["classifier.3.weight"], state["classifier.3.weight"])
    assert "features.0.weight" in report.loaded


def test_an_imagenet_state_of_vgg16_gives_the_same_logits(tmp_path: Path) -> None:
    torch.manual_seed(0)
    imagenet, model = vgg16_2d(10, 3, width=1), vgg16_2d(10, 3, width=1)
    report = load_checkpoint(save_checkpoint(tmp_path, imagenet.state_dict()), model)
    assert report.fresh == ()
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(model.eval()(images), imagenet.eval()(images))


@pytest.mark.parametrize("make", [resnet18_2d, vgg16_2d])
def test_colours_are_summed_for_grey_images(tmp_path: Path, make: Callable[..., nn.Module]) -> None:
    torch.manual_seed(0)
    coloured, grey = make(2, 3, width=2).eval(), make(2, 1, width=2).eval()
    path = save_checkpoint(tmp_path, coloured.state_dict())
    report = load_checkpoint(path, grey)
    assert report.summed == floats(grey)[0]
    assert report.summed in report.loaded
    image = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(grey(image), coloured(image.expand(-1, 3, -1, -1)))
    again = make(2, 1, width=2)
    assert load_checkpoint(save_checkpoint(tmp_path, grey.state_dict()), again).summed is None


def test_colours_are_summed_in_the_first_convolution_only(tmp_path: Path) -> None:
    def network(first: int, second: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(first, 1, 3), nn.Conv2d(second, 1, 3), nn.Linear(1, 1))

    with pytest.raises(DataError, match=r"'1.weight' is \(1, 3, 3, 3\), and \(1, 1, 3, 3\) in the"):
        load_checkpoint(save_checkpoint(tmp_path, network(3, 3).state_dict()), network(1, 1))
    with pytest.raises(DataError, match=r"'0.weight' is \(1, 1, 3, 3\), and \(1, 3, 3, 3\) in the"):
        load_checkpoint(save_checkpoint(tmp_path, network(1, 1).state_dict()), network(3, 1))


def test_a_network_without_convolutions_loads(tmp_path: Path) -> None:
    model, start = nn.Sequential(nn.Linear(2, 2)), nn.Sequential(nn.Linear(2, 2))
    load_checkpoint(save_checkpoint(tmp_path, start.state_dict()), model)
    assert torch.equal(model.get_parameter("0.weight"), start.get_parameter("0.weight"))


def test_a_model_of_this_package_loads_with_its_metadata(tmp_path: Path) -> None:
    task = loader.load(TaskRecipe, str(tiny.write_task(tmp_path)))
    trained = make_model(task, seed=1)
    assert isinstance(trained, DenseNet3d)
    trained.set_schedule(7)
    entry = save_model(tmp_path, ALL_SITES, read_state(trained), task)
    model = make_model(task, seed=2)
    assert isinstance(model, DenseNet3d)
    model.set_schedule(3)
    report = load_checkpoint(tmp_path / entry["file"], model)
    assert report.sha256 == entry["sha256"]
    assert report.metadata["task"] == "tiny"
    assert json.loads(report.metadata["classes"]) == ["left", "right"]
    for name, values in read_state(trained).items():
        assert np.array_equal(read_state(model)[name], values), name
    assert int(model.state_dict()["tail.drop.calls"]) == 3  # counters stay as they are
