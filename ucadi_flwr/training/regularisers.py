"""CORAL: keep the second moments of a site's features near those of the server's model.

Sun and Saenko, "Deep CORAL: correlation alignment for deep domain adaptation", ECCV workshops
2016. Yang et al., "FTL" (S2), equations 4 and 5, add it to a hospital's loss with a weight μ that
shrinks with every step. The source is not the server's data, which no hospital has, but the
server's model on the hospital's own batch: both models see the same images.
"""

import copy
import math
from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn

EXPONENTIAL_END = 0.01
"""The share of μ that is left at the end of an exponential decay. S2 gives no schedule."""


def coral(server: Tensor, local: Tensor) -> Tensor:
    """‖C_S − C_T‖²_F / (4 d²), to be scaled by μ; a scalar (Sun and Saenko 2016, eq. 1).

    Gradients flow through ``local`` only. A batch of one image has no covariance: the term is 0
    then, without gradient.

    Args:
        server: the server model's features of a batch, (B, d), floating point; S2 takes them in
            front of the softmax, which makes them the logits and d the number of classes.
        local: the local model's features of the same batch, (B, d).

    Raises:
        ValueError: the shapes differ or are not (B, d).
    """
    if server.shape != local.shape or local.dim() != 2:
        raise ValueError(
            f"CORAL needs two (B, d), got {tuple(server.shape)} and {tuple(local.shape)}"
        )
    if len(local) < 2:
        return local.new_zeros(())
    difference = covariance(server.detach()) - covariance(local)
    return difference.square().sum() / (4 * local.shape[1] ** 2)  # S2 eq. 5


def covariance(features: Tensor) -> Tensor:
    """Unbiased over the batch: (B, d), B ≥ 2 → (d, d) (Sun and Saenko 2016, eqs. 2 and 3)."""
    centred = features - features.mean(dim=0)
    return centred.T @ centred / (len(features) - 1)


def mu(step: float, total: float, start: float, decay: Literal["linear", "exponential"]) -> float:
    """The weight of :func:`coral` at a step of the whole run; it falls with every step.

    Linear: from ``start`` to 0. Exponential: from ``start`` to a hundredth of it, by the same
    factor in every step. It depends on the global step only, so a site that joins late is in step.

    Args:
        step: in [0, ``total``]; steps or epochs, fractional if need be.
        total: of the whole run, above 0.
        start: μ at step 0, at least 0.
        decay: how it falls.

    Raises:
        ValueError: an argument is out of range.
    """
    if not 0 <= step <= total or total <= 0:
        raise ValueError(f"the step must lie in [0, total] with total > 0, got {step} of {total}")
    if not 0 <= start < math.inf:
        raise ValueError(f"mu must start at 0 or above, got {start}")
    progress = step / total
    match decay:
        case "linear":
            return start * (1.0 - progress)
        case "exponential":
            return start * math.pow(EXPONENTIAL_END, progress)
        case _:
            raise ValueError(f"the decay must be linear or exponential, got '{decay}'")


def frozen_copy(model: nn.Module) -> nn.Module:
    """The server's model as it came, to compare with: evaluation mode, nothing of it trains.

    In evaluation mode it neither drops units nor changes running statistics. The local model
    trains, so that CORAL is not quite 0 even while both have the same weights.
    """
    return copy.deepcopy(model).eval().requires_grad_(False)


def server_features(server: nn.Module, images: Tensor) -> Tensor:
    """The frozen server model's logits (B, classes) of a batch, without a graph."""
    with torch.no_grad():
        features: Tensor = server(images)
    return features


def proximal(parameters: Iterable[torch.Tensor], anchor: Iterable[torch.Tensor]) -> torch.Tensor:
    """½‖w − w_t‖², to be scaled by μ (Li et al. 2020, FedProx, equation 2); a scalar."""
    distances = [(w - w_t).square().sum() for w, w_t in zip(parameters, anchor, strict=True)]
    return 0.5 * torch.stack(distances).sum()
