"""The learning rate over the whole run: linear warm-up, then cosine to zero (S0 Methods)."""

import math

from ucadi_flwr.recipes.task import Training


def learning_rate(training: Training, epoch: float, total_epochs: int) -> float:
    """The rate at a global epoch in `[0, total_epochs]`, fractional within an epoch.

    It depends on the global epoch only, so a site that joins late or missed a round is in step.
    """
    progress = epoch / total_epochs
    if progress < training.warmup:
        return training.learning_rate * progress / training.warmup
    fall = (progress - training.warmup) / (1.0 - training.warmup)
    return training.learning_rate * 0.5 * (1.0 + math.cos(math.pi * min(fall, 1.0)))
