"""Initial weights from files: hostile, broken and other files change nothing."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.checkpoints import State, load_checkpoint, other_state, resnet, save_checkpoint
from safetensors.torch import save_file
from torch import Tensor, nn

from ucadi_flwr.errors import DataError
from ucadi_flwr.limits import MODEL_FILE_BYTES
from ucadi_flwr.models import pretrained
from ucadi_flwr.models.pretrained import load_initial
from ucadi_flwr.models.state import read_state
from ucadi_flwr.models.vgg import vgg16_2d


def without(name: str) -> State:
    state = other_state()
    del state[name]
    return state


def changed(name: str, values: Tensor) -> State:
    return {**other_state(), name: values}


class Runs:
    """An object whose unpickling runs code."""

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, ("hostile",)


NAN = torch.tensor([1.0, torch.nan])


REFUSED: dict[str, tuple[Callable[[], object], str]] = {
    "a tensor": (lambda: torch.ones(2), "holds no state dict .*, but a Tensor"),
    "nothing": (dict, "holds no state dict .*, but an empty dict"),
    "nothing nested": (lambda: {"state_dict": {}}, "but an empty dict"),
    "a list": (lambda: [1, 2], "but a list"),
    "an entry": (lambda: {**other_state(), "epoch": 3}, "its entry 'epoch' is a int"),
    "a number as name": (lambda: {3: torch.ones(2)}, "its entry 3 is a Tensor"),
    "missing": (lambda: without("bn1.weight"), "lacks 1 tensors .*, 'bn1.weight' first"),
    "missing head": (lambda: without("fc.bias"), "lacks 1 tensors .*, 'fc.bias' first"),
    "another network": (
        lambda: vgg16_2d(3, width=1).state_dict(),
        "lacks 102 tensors of the network, 'conv1.weight' first",
    ),
    "too many": (
        lambda: changed("evil\n[31m", NAN),
        r"has 1 tensors that the network lacks, 'evil\\n\[31m' first",
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
def test_a_file_that_does_not_fit_changes_nothing(
    tmp_path: Path, case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    content, message = REFUSED[case]
    model = resnet()
    before = read_state(model)
    with pytest.raises(DataError, match=message) as caught:
        load_checkpoint(save_checkpoint(tmp_path, content()), model)
    assert "\n" not in str(caught.value)
    assert str(tmp_path / "start.pth") in str(caught.value)
    assert all(np.array_equal(values, before[name]) for name, values in read_state(model).items())
    assert [path.name for path in tmp_path.iterdir()] == ["start.pth"]


@pytest.mark.parametrize("name", ["start.pth", "start.safetensors"])
@pytest.mark.parametrize("junk", ["empty", "text", "zip", "cut"])
def test_broken_files_are_refused(tmp_path: Path, name: str, junk: str) -> None:
    path = tmp_path / name
    if name.endswith("pth"):
        torch.save(other_state(), path)
    else:
        save_file(other_state(), path)
    whole = path.read_bytes()
    broken = {
        "empty": b"",
        "text": b"abc",
        "zip": b"PK\x03\x04abc",
        "cut": whole[: len(whole) // 2],
    }
    path.write_bytes(broken[junk])
    with pytest.raises(DataError, match="cannot be read as weights only") as caught:
        load_checkpoint(path, resnet())
    assert "\n" not in str(caught.value)


def test_missing_files_and_other_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file; initial weights are not downloaded"):
        load_checkpoint(tmp_path / "none.pth", resnet())
    with pytest.raises(DataError, match="no such file"):
        load_checkpoint(tmp_path, resnet())
    (tmp_path / "model.onnx").touch()
    with pytest.raises(DataError, match=r"initial weights are \.safetensors, \.pth or \.pt files"):
        load_checkpoint(tmp_path / "model.onnx", resnet())


def test_a_file_that_is_too_large_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "large.safetensors"
    with path.open("wb") as file:
        file.truncate(MODEL_FILE_BYTES + 1)
    with pytest.raises(DataError, match="has 1,073,741,825 bytes; the limit is 1,073,741,824"):
        load_checkpoint(path, resnet())


def test_a_file_that_unpacks_to_too_much_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = save_checkpoint(tmp_path, {"a": torch.zeros(1_000_000)})
    packed = tmp_path / "packed.pth"
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as to:
        for entry in source.infolist():
            to.writestr(entry.filename, source.read(entry))
    monkeypatch.setattr(pretrained, "MODEL_FILE_BYTES", 100_000)
    assert packed.stat().st_size < 100_000
    with pytest.raises(DataError, match=r"has 4,000,\d\d\d bytes; the limit is 100,000"):
        load_checkpoint(packed, resnet())


def test_a_head_that_the_network_lacks_is_the_caller_s_error(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="the network has no layer 'head'"):
        load_initial(save_checkpoint(tmp_path, other_state()), resnet(), ["head"])
