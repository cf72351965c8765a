"""Checkpoints of small networks, and their loading."""

from pathlib import Path

import torch
from torch import Tensor, nn

from ucadi_flwr.models.parts import output_layer
from ucadi_flwr.models.pretrained import LoadReport, load_initial
from ucadi_flwr.models.resnet import resnet18_2d
from ucadi_flwr.models.state import read_state

State = dict[str, Tensor]


def resnet(classes: int = 3, channels: int = 1, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return resnet18_2d(classes, channels, width=2)


def other_state(classes: int = 3, channels: int = 1) -> State:
    """A different state: every float differs from :func:`resnet`'s."""
    state = resnet(classes, channels, seed=1).state_dict()
    return {n: t + 1 if t.is_floating_point() else t + 5 for n, t in state.items()}


def save_checkpoint(folder: Path, content: object, name: str = "start.pth") -> Path:
    torch.save(content, folder / name)
    return folder / name


def load_checkpoint(path: Path, model: nn.Module) -> LoadReport:
    return load_initial(path, model, [output_layer(model)])


def floats(model: nn.Module) -> list[str]:
    return list(read_state(model))
