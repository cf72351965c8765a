"""The learning rate over the whole run: linear warm-up, then cosine to zero (S0 Methods)."""

import math

from ucadi_flwr.recipes.task import Training


def learning_rate(training: Training, epoch: float, total_epochs: int) -> float:
    """The learning rate at a point of the whole run (S0 Methods).

    It depends on the global epoch only, so that it is also right at a site that joins late or
    missed a round.

    Args:
        training: peak rate, and the share of the epochs for the warm-up.
        epoch: in [0, ``total_epochs``]; fractional within an epoch.
        total_epochs: epochs of the whole run.

    >>> [round(learning_rate(Training(), epoch, 100), 6) for epoch in (0, 2.5, 5, 52.5, 100)]
    [0.0, 0.005, 0.01, 0.005, 0.0]
    """
    progress = epoch / total_epochs
    if progress < training.warmup:
        return training.learning_rate * progress / training.warmup
    fall = (progress - training.warmup) / (1.0 - training.warmup)
    return training.learning_rate * 0.5 * (1.0 + math.cos(math.pi * min(fall, 1.0)))
