"""A site's local update: some epochs of SGD on the site's training cases."""

import math
from dataclasses import dataclass

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from ucadi_flwr.errors import TrainingError
from ucadi_flwr.recipes.strategy import Alignment
from ucadi_flwr.recipes.task import Training
from ucadi_flwr.training.freezing import frozen, select_trainable
from ucadi_flwr.training.regularisers import (
    coral,
    coral_weight,
    frozen_copy,
    proximal,
    server_logits,
)
from ucadi_flwr.training.schedule import learning_rate


@dataclass(frozen=True)
class LocalUpdate:
    """Which epochs of the whole run a site trains now, which parameters, and with which terms.

    Args:
        first_epoch: the first of these epochs in the whole run, from 0.
        epochs: the number of epochs.
        total_epochs: epochs of the whole run.
        seed: of shuffling and dropout.
        proximal_mu: weight of the proximal term (FedProx); 0 leaves it out.
        fine_tune: which parameters train (:func:`ucadi_flwr.training.freezing.select_trainable`).
        alignment: weight of the CORAL term, which keeps the logits' second moments near those of
            the received model (S2, eqs. 4 and 5); None leaves it out.
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
    update: LocalUpdate,
    device: torch.device,
) -> float:
    """Train ``model`` in place.

    Momentum starts at zero in every call, so that a site keeps nothing between rounds. On one
    machine, the same seed gives the same result to the bit.

    Args:
        model: the network, on ``device``.
        dataset: items with ``image``, (C, D, H, W) or (C, H, W), and ``label``, a class index.
        training: batch size, learning rate, momentum, weight decay, class weights.
        update: which epochs, parameters and terms.
        device: where the network computes.

    Returns:
        The mean loss of the last epoch, without the proximal and the CORAL term.

    Raises:
        TrainingError: the loss is not finite.
        RecipeError: ``update.fine_tune`` selects no parameters.
    """
    with frozen(model, select_trainable(model, update.fine_tune)):
        return _train(model, dataset, training, update, device)


def _train(
    model: nn.Module,
    dataset: Dataset[dict[str, torch.Tensor]],
    training: Training,
    update: LocalUpdate,
    device: torch.device,
) -> float:
    torch.manual_seed(update.seed)
    loader = DataLoader(
        dataset,
        batch_size=training.batch_size,
        shuffle=True,
        generator=torch.Generator().manual_seed(update.seed),
    )
    weight = None if training.class_weights is None else torch.tensor(training.class_weights)
    criterion = nn.CrossEntropyLoss(weight=weight).to(device)
    optimizer = _sgd(model, training)
    trained = [p for p in model.parameters() if p.requires_grad]
    received = [p.detach().clone() for p in trained] if update.proximal_mu else []
    alignment = update.alignment if update.alignment and update.alignment.mu else None
    server = frozen_copy(model) if alignment else None
    model.train()
    mean_loss = 0.0
    for epoch in range(update.first_epoch, update.first_epoch + update.epochs):
        total, seen = torch.zeros((), device=device), 0
        for i, batch in enumerate(loader):
            rate = learning_rate(training, epoch + (i + 0.5) / len(loader), update.total_epochs)
            for group in optimizer.param_groups:
                group["lr"] = rate
            images, labels = batch["image"].to(device), batch["label"].to(device)
            logits = model(images)
            loss = criterion(logits, labels)
            total += loss.detach() * len(labels)
            seen += len(labels)
            if update.proximal_mu:  # FedProx eq. 2
                loss = loss + update.proximal_mu * proximal(trained, received)
            if alignment and server is not None:  # S2 eq. 4
                step = epoch + i / len(loader)
                mu = coral_weight(step, update.total_epochs, alignment.mu, alignment.decay)
                loss = loss + mu * coral(server_logits(server, images), logits)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
        mean_loss = float(total) / seen
        if not math.isfinite(mean_loss):
            too_high = "the learning rate"
            if alignment:
                too_high = "tailoring.learning-rate or tailoring.alignment.mu"
            raise TrainingError(
                f"the training loss is {mean_loss} in epoch {epoch + 1}; lower {too_high}, or look "
                "for broken images"
            )
    return mean_loss


def _sgd(model: nn.Module, training: Training) -> torch.optim.SGD:
    """SGD with momentum, without weight decay on biases and normalisation parameters."""
    decayed = [p for p in model.parameters() if p.requires_grad and p.ndim > 1]
    exempt = [p for p in model.parameters() if p.requires_grad and p.ndim <= 1]
    groups = [
        {"params": decayed, "weight_decay": training.weight_decay},
        {"params": exempt, "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, lr=training.learning_rate, momentum=training.momentum)
