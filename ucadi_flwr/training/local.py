"""A site's local update: some epochs of SGD on its own cases."""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from ucadi_flwr.errors import TrainingError
from ucadi_flwr.recipes.strategy import Alignment
from ucadi_flwr.recipes.task import Training
from ucadi_flwr.training.freezing import frozen, select
from ucadi_flwr.training.regularisers import coral, frozen_copy, mu, proximal, server_features
from ucadi_flwr.training.schedule import learning_rate


@dataclass(frozen=True)
class LocalWork:
    """Which part of the whole run a site does now: ``epochs`` from ``first_epoch`` (from 0).

    ``fine_tune`` says what trains (:func:`ucadi_flwr.training.freezing.select`); ``alignment``
    holds the logits' second moments near those of the model as it came (S2, eqs. 4 and 5).
    """

    first_epoch: int
    epochs: int
    total_epochs: int
    seed: int
    proximal_mu: float = 0.0
    fine_tune: str = "all"
    alignment: Alignment | None = None


def train(
    model: nn.Module,
    dataset: Dataset[dict[str, torch.Tensor]],
    training: Training,
    work: LocalWork,
    device: torch.device,
) -> float:
    """Train ``model`` in place and return the mean training loss of the last epoch.

    Batches are `(B, C, D, H, W)` or `(B, C, H, W)`. Momentum starts anew with every call: a
    site needs no memory of former rounds. The same seed gives the same result on one machine.
    Raises :class:`TrainingError` if the loss is not finite, :class:`RecipeError` if
    ``work.fine_tune`` names nothing that could train.
    """
    with frozen(model, select(model, work.fine_tune)):
        return _train(model, dataset, training, work, device)


def _train(
    model: nn.Module,
    dataset: Dataset[dict[str, torch.Tensor]],
    training: Training,
    work: LocalWork,
    device: torch.device,
) -> float:
    torch.manual_seed(work.seed)
    loader = DataLoader(
        dataset,
        batch_size=training.batch_size,
        shuffle=True,
        generator=torch.Generator().manual_seed(work.seed),
    )
    weight = None if training.class_weights is None else torch.tensor(training.class_weights)
    criterion = nn.CrossEntropyLoss(weight=weight).to(device)
    optimizer = _sgd(model, training)
    trained = [p for p in model.parameters() if p.requires_grad]
    anchor = [p.detach().clone() for p in trained] if work.proximal_mu else []
    align = work.alignment if work.alignment is not None and work.alignment.mu else None
    server = frozen_copy(model) if align else None
    model.train()
    mean_loss = 0.0
    for epoch in range(work.first_epoch, work.first_epoch + work.epochs):
        total, seen = torch.zeros((), device=device), 0
        for i, batch in enumerate(loader):
            rate = learning_rate(training, epoch + (i + 0.5) / len(loader), work.total_epochs)
            for group in optimizer.param_groups:
                group["lr"] = rate
            images, labels = batch["image"].to(device), batch["label"].to(device)
            logits = model(images)
            loss = criterion(logits, labels)
            total += loss.detach() * len(labels)
            seen += len(labels)
            if work.proximal_mu:
                loss = loss + work.proximal_mu * proximal(trained, anchor)
            if align and server is not None:  # S2 eq. 4
                weight_now = mu(epoch + i / len(loader), work.total_epochs, align.mu, align.decay)
                loss = loss + weight_now * coral(server_features(server, images), logits)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        mean_loss = float(total) / seen
        if not math.isfinite(mean_loss):
            lower = "tailoring.learning-rate or its alignment.mu" if align else "the learning rate"
            raise TrainingError(
                f"the training loss is {mean_loss} in epoch {epoch + 1}; lower {lower}, or look "
                "for broken images"
            )
    return mean_loss


def _sgd(model: nn.Module, training: Training) -> torch.optim.SGD:
    """SGD with momentum; biases and normalisation parameters are not decayed."""
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    plain = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": training.weight_decay},
        {"params": plain, "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, lr=training.learning_rate, momentum=training.momentum)
