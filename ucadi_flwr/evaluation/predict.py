"""A model's probabilities for a site's test cases."""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn
from torch.utils.data import Dataset

SAMPLES_AT_ONCE = 16


def probabilities(
    model: nn.Module, dataset: Dataset[dict[str, torch.Tensor]], device: torch.device
) -> NDArray[np.float64]:
    """Probabilities of the classes, averaged over the samples of each case (S0, S1: 5 samples).

    Args:
        model: gives logits `(B, classes)`; it is set to evaluation mode.
        dataset: case i is a dict whose "image" has the samples of the case, `(S, C, …)`.
        device: of the model.

    Returns:
        float64 `(N, classes)`.
    """
    model.eval()
    rows: list[NDArray[np.float64]] = []
    with torch.inference_mode():
        for stacks in _chunks(dataset):
            logits = model(torch.cat(stacks).to(device))
            scores = torch.softmax(logits.double(), dim=1).cpu()
            for part in torch.split(scores, [len(stack) for stack in stacks]):
                rows.append(part.mean(dim=0).numpy())
    return np.stack(rows)


@contextmanager
def recorded_inputs(layer: nn.Module) -> Iterator[list[torch.Tensor]]:
    """Collect the inputs `(B, F)` of a layer, in order, in the list that this yields."""
    inputs: list[torch.Tensor] = []

    def record(_: nn.Module, arguments: tuple[torch.Tensor, ...]) -> None:
        inputs.append(arguments[0].detach().float().cpu())

    handle = layer.register_forward_pre_hook(record)
    try:
        yield inputs
    finally:
        handle.remove()


def _chunks(dataset: Dataset[dict[str, torch.Tensor]]) -> Iterator[list[torch.Tensor]]:
    """The samples of whole cases, in groups of about :data:`SAMPLES_AT_ONCE` samples."""
    stacks: list[torch.Tensor] = []
    for i in range(len(dataset)):  # type: ignore[arg-type]  # torch's Dataset declares no length
        stacks.append(dataset[i]["image"])
        if sum(map(len, stacks)) >= SAMPLES_AT_ONCE:
            yield stacks
            stacks = []
    if stacks:
        yield stacks
