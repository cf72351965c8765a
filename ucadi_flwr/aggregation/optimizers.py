"""Server optimisers: the global model and the sites' mean in, the next global model out.

Pure functions. x is the global model, Δ = mean - x the pseudo-gradient, m and v the moments. Only
trainable tensors are optimised; others, such as running statistics, take the mean. The arithmetic
is in float64; models and moments are float32.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.aggregation.mean import Tensors
from ucadi_flwr.recipes.strategy import Average, FedAdam, FedAvgM

Arrays = dict[str, NDArray[np.float32]]
"""Tensor name → float32 array."""

Float = NDArray[np.float64]
Moment = NDArray[np.float32] | np.float32


@dataclass(frozen=True)
class Moments:
    """What a server optimiser keeps between rounds, by tensor name: m (first) and v (second)."""

    first: Arrays = field(default_factory=dict)
    second: Arrays = field(default_factory=dict)


def step(
    optimizer: Average | FedAvgM | FedAdam,
    current: Tensors,
    mean: Tensors,
    moments: Moments,
    trainable: Collection[str],
) -> tuple[Arrays, Moments]:
    """One server step.

    Args:
        optimizer: the recipe's optimiser and its settings.
        current: the global model that the sites started from.
        mean: the weighted mean of their models.
        moments: of the step before; empty before the first.
        trainable: the tensors that the optimiser changes.

    Returns: the next global model and the next moments.

    >>> half = FedAvgM(name="fedavgm", **{"learning-rate": 0.5, "momentum": 0.0})
    >>> x, mean = ({"w": np.array([w], np.float32)} for w in (1.0, 3.0))
    >>> following, _ = step(half, x, mean, Moments(), trainable=["w"])
    >>> following["w"].tolist()
    [2.0]
    """
    following, first, second = dict(mean), {}, {}
    if isinstance(optimizer, Average):
        return following, moments
    for name in trainable:
        x = current[name].astype(np.float64)
        delta = mean[name] - x
        m = moments.first.get(name, np.float32(0.0))
        if isinstance(optimizer, FedAvgM):
            x, m_next = _fedavgm(optimizer, x, delta, m)
        else:
            v = moments.second.get(name, np.float32(optimizer.tau**2))
            x, m_next, v_next = _fedadam(optimizer, x, delta, m, v)
            second[name] = v_next.astype(np.float32)
        following[name], first[name] = x.astype(np.float32), m_next.astype(np.float32)
    return following, Moments(first, second)


def _fedavgm(o: FedAvgM, x: Float, delta: Float, m: Moment) -> tuple[Float, Float]:
    """Hsu, Qi and Brown 2019 (arXiv:1909.06335), FedAvgM, with a server learning rate; m_0 = 0."""
    m_next: Float = o.momentum * m + delta  # v ← β·v + Δw
    return x + o.learning_rate * m_next, m_next  # w ← w - v, where Δw is -Δ


def _fedadam(
    o: FedAdam, x: Float, delta: Float, m: Moment, v: Moment
) -> tuple[Float, Float, Float]:
    """Reddi et al. 2021 (arXiv:2003.00295), algorithm 2, FedAdam; m_0 = 0, v_0 = τ²."""
    m_next: Float = o.beta1 * m + (1 - o.beta1) * delta  # m_t = β1·m_{t-1} + (1 - β1)·Δ_t
    v_next: Float = o.beta2 * v + (1 - o.beta2) * delta**2  # v_t = β2·v_{t-1} + (1 - β2)·Δ_t²
    x = x + o.learning_rate * m_next / (np.sqrt(v_next) + o.tau)  # x + η·m_t / (√v_t + τ)
    return x, m_next, v_next
