"""Terms that a strategy adds to the local loss."""

from collections.abc import Iterable

import torch


def proximal(parameters: Iterable[torch.Tensor], anchor: Iterable[torch.Tensor]) -> torch.Tensor:
    """½‖w − w_t‖², to be scaled by μ (Li et al. 2020, FedProx, equation 2); a scalar."""
    distances = [(w - w_t).square().sum() for w, w_t in zip(parameters, anchor, strict=True)]
    return 0.5 * torch.stack(distances).sum()
