"""Two terms that are added to a site's loss and keep its model near the server's.

The proximal term penalises the distance of the weights (:func:`proximal`): Li et al., "Federated
optimization in heterogeneous networks" (FedProx), MLSys 2020, equation 2.

CORAL penalises the difference between the second moments of the features (:func:`coral`): Sun and
Saenko, "Deep CORAL: correlation alignment for deep domain adaptation", ECCV workshops 2016. Yang et
al., "FTL" (S2), equations 4 and 5, add it to a hospital's loss with a weight μ that decreases with
every step (:func:`coral_weight`). A hospital does not have the data of the source domain. Instead,
the server's model and the hospital's model see the same batch of the hospital's images.
"""

import copy
import math
from collections.abc import Iterable
from typing import Literal

import torch
from torch import Tensor, nn

EXPONENTIAL_END = 0.01
"""Final share of μ in an exponential decay. S2 gives no schedule."""


def coral(server: Tensor, local: Tensor) -> Tensor:
    """‖C_S − C_T‖²_F / (4 d²), to be multiplied by μ; a scalar (Sun and Saenko 2016, eq. 1).

    Gradients flow through ``local`` only. A batch of one image has no covariance; the term is then
    0, without gradient.

    Args:
        server: the server model's features of a batch, (B, d), floating point. S2 takes them in
            front of the softmax: they are the logits, and d is the number of classes.
        local: the local model's features of the same batch, (B, d).

    Raises:
        ValueError: the shapes differ or are not (B, d).

    >>> server = torch.tensor([[0.0, 1.0], [2.0, 1.0]])  # covariance [[2, 0], [0, 0]]
    >>> local = torch.tensor([[0.0, 0.0], [4.0, 2.0]])  # covariance [[8, 4], [4, 2]]
    >>> coral(server, local)  # (36 + 16 + 16 + 4) / (4 · 2²)
    tensor(4.5000)
    """
    if server.shape != local.shape or local.dim() != 2:
        raise ValueError(
            f"CORAL needs two tensors (B, d), got {tuple(server.shape)} and {tuple(local.shape)}"
        )
    if len(local) < 2:
        return local.new_zeros(())
    difference = covariance(server.detach()) - covariance(local)
    return difference.square().sum() / (4 * local.shape[1] ** 2)  # S2 eq. 5


def covariance(features: Tensor) -> Tensor:
    """Unbiased covariance over the batch: (B, d), B ≥ 2 → (d, d) (Sun and Saenko, eqs. 2 and 3)."""
    centred = features - features.mean(dim=0)
    return centred.T @ centred / (len(features) - 1)


def coral_weight(
    step: float, total: float, start: float, decay: Literal["linear", "exponential"]
) -> float:
    """μ, the weight of :func:`coral`, at a step of the whole run; it decreases with every step.

    Linear: from ``start`` to 0. Exponential: from ``start`` to a hundredth of it, by the same
    factor in every step. It depends on the global step only, so that it is also right at a site
    that joins late.

    Args:
        step: in [0, ``total``]; steps or epochs, possibly fractional.
        total: steps or epochs of the whole run, above 0.
        start: μ at step 0, at least 0.
        decay: the form of the decrease.

    Raises:
        ValueError: an argument is out of range.

    >>> [coral_weight(step, total=4, start=1.0, decay="linear") for step in range(5)]
    [1.0, 0.75, 0.5, 0.25, 0.0]
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
    """A copy of the received model, in evaluation mode and without gradients.

    In evaluation mode it neither drops units nor changes running statistics. The local model is in
    training mode, so CORAL is not exactly 0 even while both have the same weights.
    """
    return copy.deepcopy(model).eval().requires_grad_(False)


def server_logits(server: nn.Module, images: Tensor) -> Tensor:
    """The frozen server model's logits (B, classes) of a batch, without gradients."""
    with torch.no_grad():
        logits: Tensor = server(images)
    return logits


def proximal(parameters: Iterable[Tensor], received: Iterable[Tensor]) -> Tensor:
    """½‖w − w_t‖², to be multiplied by μ; a scalar (Li et al. 2020, eq. 2).

    Args:
        parameters: w, the local model's parameters.
        received: w_t, the parameters of the received global model, in the same order and shapes.

    Raises:
        ValueError: the numbers of tensors differ.

    >>> proximal([torch.tensor([1.0, 2.0])], [torch.tensor([0.0, 0.0])])
    tensor(2.5000)
    """
    squares = [(w - w_t).square().sum() for w, w_t in zip(parameters, received, strict=True)]
    return 0.5 * torch.stack(squares).sum()
