"""Initial weights from files: what fits gets in to the bit, what does not changes nothing."""

import hashlib
import json
import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import tiny
from safetensors.torch import save_file
from torch import Tensor, nn

from ucadi_flwr.errors import DataError
from ucadi_flwr.models import pretrained
from ucadi_flwr.models.densenet3d import DenseNet3d
from ucadi_flwr.models.factory import make_model
from ucadi_flwr.models.files import save_model
from ucadi_flwr.models.parts import output_layer
from ucadi_flwr.models.pretrained import LoadReport, load_initial
from ucadi_flwr.models.resnet import resnet18_2d
from ucadi_flwr.models.state import read_state
from ucadi_flwr.models.vgg import vgg16_2d
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.recipes.task import TaskRecipe

State = dict[str, Tensor]


def resnet(classes: int = 3, channels: int = 1, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return resnet18_2d(classes, channels, width=2)


def other(classes: int = 3, channels: int = 1) -> State:
    """Another network's state: every float differs from :func:`resnet`'s."""
    state = resnet(classes, channels, seed=1).state_dict()
    return {n: t + 1 if t.is_floating_point() else t + 5 for n, t in state.items()}


def saved(folder: Path, content: object, name: str = "start.pth") -> Path:
    torch.save(content, folder / name)
    return folder / name


def load(path: Path, model: nn.Module) -> LoadReport:
    return load_initial(path, model, [output_layer(model)])


def floats(model: nn.Module) -> list[str]:
    return list(read_state(model))


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
    model, state = resnet(), other()
    write(state, tmp_path / name)
    report = load(tmp_path / name, model)
    for own, tensor in model.state_dict().items():
        expected = state[own] if tensor.is_floating_point() else torch.zeros_like(tensor)
        assert torch.equal(tensor, expected), own
    digest = hashlib.sha256((tmp_path / name).read_bytes()).hexdigest()
    assert report == LoadReport(digest, tuple(floats(model)), (), None, {})
    assert all(p.requires_grad and p.is_leaf for p in model.parameters())


def test_other_precisions_are_converted(tmp_path: Path) -> None:
    state = other()
    state["fc.weight"] = state["fc.weight"].double()
    state["conv1.weight"] = state["conv1.weight"].half()
    state["bn1.bias"] = state["bn1.bias"].bfloat16()
    model = resnet()
    load(saved(tmp_path, state), model)
    for name in ("fc.weight", "conv1.weight", "bn1.bias"):
        assert torch.equal(model.state_dict()[name], state[name].float())


def test_a_head_of_another_size_stays_fresh(tmp_path: Path) -> None:
    state, model = other(classes=7), resnet()
    before = read_state(model)
    report = load(saved(tmp_path, state), model)
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
    path = saved(tmp_path, state)
    report = load_initial(path, model, ["classifier.3", "classifier.6"])
    assert report.fresh == ("classifier.6.weight", "classifier.6.bias")
    assert torch.equal(model.state_dict()["classifier.3.weight"], state["classifier.3.weight"])
    assert "features.0.weight" in report.loaded


def test_an_imagenet_state_of_vgg16_gives_the_same_answers(tmp_path: Path) -> None:
    torch.manual_seed(0)
    imagenet, model = vgg16_2d(10, 3, width=1), vgg16_2d(10, 3, width=1)
    report = load(saved(tmp_path, imagenet.state_dict()), model)
    assert report.fresh == ()
    images = torch.randn(2, 3, 64, 64)
    assert torch.equal(model.eval()(images), imagenet.eval()(images))


@pytest.mark.parametrize("make", [resnet18_2d, vgg16_2d])
def test_colours_are_summed_for_grey_images(tmp_path: Path, make: Callable[..., nn.Module]) -> None:
    torch.manual_seed(0)
    coloured, grey = make(2, 3, width=2).eval(), make(2, 1, width=2).eval()
    path = saved(tmp_path, coloured.state_dict())
    report = load(path, grey)
    assert report.summed == floats(grey)[0]
    assert report.summed in report.loaded
    image = torch.randn(2, 1, 64, 64)
    with torch.no_grad():
        torch.testing.assert_close(grey(image), coloured(image.expand(-1, 3, -1, -1)))
    again = make(2, 1, width=2)
    assert load(saved(tmp_path, grey.state_dict()), again).summed is None


def test_colours_are_summed_in_the_first_convolution_only(tmp_path: Path) -> None:
    def network(first: int, second: int) -> nn.Module:
        return nn.Sequential(nn.Conv2d(first, 1, 3), nn.Conv2d(second, 1, 3), nn.Linear(1, 1))

    with pytest.raises(DataError, match=r"'1.weight' is \(1, 3, 3, 3\), and \(1, 1, 3, 3\) in the"):
        load(saved(tmp_path, network(3, 3).state_dict()), network(1, 1))
    with pytest.raises(DataError, match=r"'0.weight' is \(1, 1, 3, 3\), and \(1, 3, 3, 3\) in the"):
        load(saved(tmp_path, network(1, 1).state_dict()), network(3, 1))


def test_a_network_without_convolutions_loads(tmp_path: Path) -> None:
    model, start = nn.Sequential(nn.Linear(2, 2)), nn.Sequential(nn.Linear(2, 2))
    load(saved(tmp_path, start.state_dict()), model)
    assert torch.equal(model[0].weight, start[0].weight)


def test_a_model_trained_here_loads_and_says_what_it_is(tmp_path: Path) -> None:
    task = loader.load(TaskRecipe, str(tiny.write_task(tmp_path)))
    trained = make_model(task, seed=1)
    assert isinstance(trained, DenseNet3d)
    trained.set_schedule(7)
    entry = save_model(tmp_path, ALL_SITES, read_state(trained), task)
    model = make_model(task, seed=2)
    assert isinstance(model, DenseNet3d)
    model.set_schedule(3)
    report = load(tmp_path / entry["file"], model)
    assert report.sha256 == entry["sha256"]
    assert report.metadata["task"] == "tiny"
    assert json.loads(report.metadata["classes"]) == ["left", "right"]
    for name, values in read_state(trained).items():
        assert np.array_equal(read_state(model)[name], values), name
    assert int(model.state_dict()["tail.drop.calls"]) == 3  # counters stay as they are


# --- refusals ----------------------------------------------------------------------------------


def without(name: str) -> State:
    state = other()
    del state[name]
    return state


def changed(name: str, values: Tensor) -> State:
    return {**other(), name: values}


class Runs:
    """What a hostile file would run."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, ("hostile",)


NAN = torch.tensor([1.0, torch.nan])
REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "a tensor": (lambda: torch.ones(2), "holds no state dict .*, but a Tensor"),
    "nothing": (dict, "holds no state dict .*, but an empty dict"),
    "nothing nested": (lambda: {"state_dict": {}}, "but an empty dict"),
    "a list": (lambda: [1, 2], "but a list"),
    "an entry": (lambda: {**other(), "epoch": 3}, "its entry 'epoch' is a int"),
    "a number as name": (lambda: {3: torch.ones(2)}, "its entry 3 is a Tensor"),
    "missing": (lambda: without("bn1.weight"), "lacks 1 tensors .*, 'bn1.weight' first"),
    "missing head": (lambda: without("fc.bias"), "lacks 1 tensors .*, 'fc.bias' first"),
    "another network": (
        lambda: vgg16_2d(3, width=1).state_dict(),
        "lacks 102 tensors of the network, 'conv1.weight' first",
    ),
    "too many": (
        lambda: changed("evil\n[31m", NAN),
        r"has 1 tensors that the network has not, 'evil\\n\[31m' first",
    ),
    "a shape": (
        lambda: changed("bn1.bias", torch.ones(4)),
        r"tensor 'bn1.bias' is \(4,\), and \(2,\) in the network",
    ),
    "two colours": (
        lambda: changed("conv1.weight", torch.ones(2, 2, 7, 7)),
        r"'conv1.weight' is \(2, 2, 7, 7\), and \(2, 1, 7, 7\) in the network",
    ),
    "a huge view": (
        lambda: changed("bn1.bias", torch.ones(1, dtype=torch.float16).expand(10**6, 10**6)),
        r"'bn1.bias' is \(1000000, 1000000\)",
    ),
    "not finite": (lambda: changed("bn1.bias", NAN), "'bn1.bias' holds values that are not finite"),
    "too large for float32": (
        lambda: changed("bn1.bias", torch.tensor([1.0, 1e300], dtype=torch.float64)),
        "'bn1.bias' holds values that are not finite",
    ),
    "integers": (
        lambda: changed("bn1.bias", torch.ones(2, dtype=torch.int64)),
        "'bn1.bias' is no plain array of floating-point numbers",
    ),
    "complex": (
        lambda: changed("bn1.bias", torch.ones(2, dtype=torch.complex64)),
        "'bn1.bias' is no plain array",
    ),
    "sparse": (lambda: changed("bn1.bias", torch.ones(2).to_sparse()), "is no plain array"),
    "no values": (lambda: changed("bn1.bias", torch.ones(2, device="meta")), "is no plain array"),
    "code": (lambda: {"a": Runs()}, r"cannot be read as weights only \(UnpicklingError\)"),
    "a module": (lambda: nn.Linear(2, 2), r"cannot be read as weights only \(UnpicklingError\)"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_does_not_fit_changes_nothing(
    tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    content, message = REFUSED[case]
    model = resnet()
    before = read_state(model)
    with pytest.raises(DataError, match=message) as caught:
        load(saved(tmp_path, content()), model)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "start.pth") in str(caught.value)
    assert all(np.array_equal(values, before[name]) for name, values in read_state(model).items())
    assert [path.name for path in tmp_path.iterdir()] == ["start.pth"]


@pytest.mark.parametrize("name", ["start.pth", "start.safetensors"])
@pytest.mark.parametrize("junk", ["empty", "text", "zip", "cut"])
def test_broken_files_are_refused(tmp_path: Path, name: str, junk: str) -> None:
    path = tmp_path / name
    if name.endswith("pth"):
        torch.save(other(), path)
    else:
        save_file(other(), path)
    whole = path.read_bytes()
    broken = {
        "empty": b"",
        "text": b"abc",
        "zip": b"PK\x03\x04abc",
        "cut": whole[: len(whole) // 2],
    }
    path.write_bytes(broken[junk])
    with pytest.raises(DataError, match="cannot be read as weights only") as caught:
        load(path, resnet())
    assert "\n" not in str(caught.value)


def test_files_that_are_not_there_or_of_another_kind_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file; initial weights are not downloaded"):
        load(tmp_path / "none.pth", resnet())
    with pytest.raises(DataError, match="no such file"):
        load(tmp_path, resnet())
    (tmp_path / "model.onnx").touch()
    with pytest.raises(DataError, match=r"initial weights are \.safetensors, \.pth or \.pt files"):
        load(tmp_path / "model.onnx", resnet())


def test_a_file_that_is_too_large_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "large.safetensors"
    with path.open("wb") as file:
        file.truncate(pretrained.MODEL_FILE_BYTES + 1)
    with pytest.raises(DataError, match="comes to 1,073,741,825 bytes; at most 1,073,741,824"):
        load(path, resnet())


def test_a_file_that_unpacks_to_too_much_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = saved(tmp_path, {"a": torch.zeros(1_000_000)})
    packed = tmp_path / "packed.pth"
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as to:
        for entry in source.infolist():
            to.writestr(entry.filename, source.read(entry))
    monkeypatch.setattr(pretrained, "MODEL_FILE_BYTES", 100_000)
    assert packed.stat().st_size < 100_000
    with pytest.raises(DataError, match=r"comes to 4,000,\d\d\d bytes; at most 100,000 are read"):
        load(packed, resnet())


def test_a_head_that_the_network_lacks_is_the_caller_s_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the network has no layer 'head'"):
        load_initial(saved(tmp_path, other()), resnet(), ["head"])
