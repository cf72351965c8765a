"""Load initial weights from a file: ImageNet's VGG16 or ResNet-18, or a model of this package.

Nothing is downloaded. The file is untrusted. Either all its tensors fit the network and are loaded,
or there is one :class:`DataError` and the network is unchanged.
"""

import hashlib
import zipfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from ucadi_flwr.errors import DataError
from ucadi_flwr.limits import MODEL_FILE_BYTES
from ucadi_flwr.models.parts import in_layers

COLOUR_CHANNELS = 3
PREFIX = "module."  # of every name if torch's DataParallel saved the state
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


@dataclass(frozen=True)
class LoadReport:
    """Which tensors came from the file.

    Attributes:
        sha256: of the file (hex).
        loaded: names of the tensors that were loaded.
        fresh: names of the head's tensors that keep their initial values.
        summed: name of the first convolution's weight if its colours were summed, else None.
        metadata: of a safetensors file; a model of this package has its ``task`` and, as JSON, its
            ``classes``.
    """

    sha256: str
    loaded: tuple[str, ...]
    fresh: tuple[str, ...]
    summed: str | None
    metadata: Mapping[str, str] = field(default_factory=dict)


def load_initial(path: Path, model: nn.Module, head: Collection[str]) -> LoadReport:
    """Load a checkpoint into ``model``, in place.

    The file is ``.safetensors``, or ``.pth`` or ``.pt`` as ``torch.save`` writes it (read as
    weights only: no code in it runs). It holds a state dict, at the top level or under
    ``state_dict``, with or without ``module.`` before every name. Parameters and float buffers are
    loaded. Integer counters in the file are ignored; those of ``model`` stay unchanged.

    A layer of the ``head`` keeps its values in ``model`` if one of its shapes differs in the file,
    for example because the number of classes differs. **If the shapes agree, the layer is loaded**,
    even if its classes have another meaning: compare the report's ``metadata`` where that matters.

    For a network with one input channel, the weights of a first convolution with three channels are
    summed over the colours. A grey image then gives the same result as three equal channels in the
    original network. This is exact if all channels were normalised alike, and approximate with
    ImageNet's three means and standard deviations.

    Args:
        path: the file.
        model: the network; its first convolution is the first in the order of registration.
        head: names of layers, usually :func:`ucadi_flwr.models.parts.output_layer`'s.

    Raises:
        DataError: the file does not exist, is larger than 1 GiB (packed or unpacked), is not a
            state dict, or does not fit: a tensor is missing, too many, of another shape or type, or
            not finite.
        ValueError: ``model`` has no layer with a name in ``head``.
    """
    targets = model.state_dict()
    floats = {name: tensor for name, tensor in targets.items() if tensor.is_floating_point()}
    for layer in head:
        if not any(in_layers(name, [layer]) for name in floats):
            raise ValueError(f"the network has no layer '{layer}'")
    content, metadata = _read(path)
    state = _state_dict(path, content)
    if missing := [name for name in floats if name not in state]:
        raise DataError(f"{path} lacks {len(missing)} tensors of the network, '{missing[0]}' first")
    if extra := [name for name in state if name not in targets]:
        raise DataError(
            f"{path} has {len(extra)} tensors that the network lacks, {ascii(extra[0])[:99]} "
            "first; is it a checkpoint of another network?"
        )
    differing = [name for name, tensor in floats.items() if state[name].shape != tensor.shape]
    replaced = [layer for layer in head if any(in_layers(name, [layer]) for name in differing)]
    fresh = tuple(name for name in floats if in_layers(name, replaced))
    grey = _grey_stem(model)
    new: dict[str, Tensor] = {}
    for name in (name for name in floats if name not in fresh):
        new[name] = _fitted(path, name, state[name], floats[name], name == grey)
    for name, values in new.items():
        floats[name].copy_(values)
    with path.open("rb") as file:
        sha256 = hashlib.file_digest(file, "sha256").hexdigest()
    summed = grey if grey in differing and grey in new else None
    return LoadReport(sha256, tuple(new), fresh, summed, metadata)


def _read(path: Path) -> tuple[object, dict[str, str]]:
    """The unchecked content of the file, and its metadata."""
    if not path.is_file():
        raise DataError(f"{path}: no such file; initial weights are not downloaded, put them there")
    if path.suffix not in (".safetensors", ".pth", ".pt"):
        raise DataError(f"{path}: initial weights are .safetensors, .pth or .pt files")
    _check_size(path, path.stat().st_size)
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="pt", device="cpu") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                return tensors, dict(file.metadata() or {})
        if zipfile.is_zipfile(path):  # torch unpacks compressed entries: a small file can be huge
            with zipfile.ZipFile(path) as archive:
                _check_size(path, sum(entry.file_size for entry in archive.infolist()))
        return torch.load(path, map_location="cpu", weights_only=True), {}
    except DataError:
        raise
    except Exception as error:  # the readers raise errors of any type, with many lines
        raise DataError(
            f"{path} cannot be read as weights only ({type(error).__name__}); save it again as "
            "safetensors, or with torch.save(model.state_dict(), …)"
        ) from error


def _check_size(path: Path, size: int) -> None:
    if size > MODEL_FILE_BYTES:
        raise DataError(f"{path} has {size:,} bytes; the limit is {MODEL_FILE_BYTES:,}")


def _state_dict(path: Path, content: object) -> dict[str, Tensor]:
    """Name → tensor, without ``state_dict`` and ``module.`` around it."""
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not content:
        raise DataError(f"{path} holds no state dict (name → tensor), but {_kind(content)}")
    for name, values in content.items():
        if not isinstance(name, str) or not isinstance(values, Tensor):
            raise DataError(
                f"{path} holds no state dict: its entry {ascii(name)[:99]} is {_kind(values)}"
            )
    prefix = PREFIX if all(name.startswith(PREFIX) for name in content) else ""
    return {name.removeprefix(prefix): values.detach() for name, values in content.items()}


def _kind(value: object) -> str:
    empty = "an empty " if isinstance(value, Mapping) and not value else "a "
    return empty + type(value).__name__


def _fitted(path: Path, name: str, values: Tensor, target: Tensor, grey_stem: bool) -> Tensor:
    """The file's tensor in the network's shape and type.

    The shape is checked before the values: a small file can hold a view of a huge shape.
    """
    if values.dtype not in FLOATS or values.layout != torch.strided or not values.is_cpu:
        raise DataError(f"{path}: tensor '{name}' is no plain array of floating-point numbers")
    shape = target.shape
    coloured = torch.Size((shape[0], COLOUR_CHANNELS, *shape[2:])) if grey_stem else shape
    if values.shape not in (shape, coloured):
        raise DataError(
            f"{path}: tensor '{name}' is {tuple(values.shape)}, and {tuple(shape)} in the network"
        )
    fitted = values.to(target.dtype)
    if fitted.shape != shape:
        fitted = fitted.sum(dim=1, keepdim=True)
    if not fitted.isfinite().all():
        raise DataError(f"{path}: tensor '{name}' holds values that are not finite (NaN or ∞)")
    return fitted


def _grey_stem(model: nn.Module) -> str | None:
    """Name of the first convolution's weight, if that convolution has one input channel."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d | nn.Conv3d):
            return f"{name}.weight" if module.in_channels == 1 else None
    return None
