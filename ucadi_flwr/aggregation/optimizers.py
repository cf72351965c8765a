"""Server optimisers: the global model and the sites' mean in, the next global model out.

Pure functions over arrays. The pseudo-gradient is Δ = mean − global. Only trainable tensors are
optimised; running statistics take the mean as it is. Moments are float32, like the model.
"""

from collections.abc import Collection
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.aggregation.mean import State
from ucadi_flwr.recipes.strategy import Average, FedAdam, FedAvgM

Arrays = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Moments:
    """What a server optimiser remembers between rounds, by tensor name."""

    first: Arrays = field(default_factory=dict)
    second: Arrays = field(default_factory=dict)


def step(
    optimizer: Average | FedAvgM | FedAdam,
    current: State,
    mean: State,
    moments: Moments,
    trainable: Collection[str],
) -> tuple[Arrays, Moments]:
    """One server step: the next global model and the next moments."""
    match optimizer:
        case Average():
            return dict(mean), moments
        case FedAvgM():
            return _fedavgm(optimizer, current, mean, moments, trainable)
        case FedAdam():
            return _fedadam(optimizer, current, mean, moments, trainable)


def _fedavgm(
    o: FedAvgM, current: State, mean: State, moments: Moments, trainable: Collection[str]
) -> tuple[Arrays, Moments]:
    following, first = dict(mean), {}
    for name in trainable:
        x, delta = _pseudo_gradient(current, mean, name)
        m = o.momentum * moments.first.get(name, np.float32(0.0)) + delta
        first[name] = m.astype(np.float32)
        following[name] = (x + o.learning_rate * m).astype(np.float32)  # Hsu et al. 2019, eq. (2)
    return following, Moments(first=first)


def _fedadam(
    o: FedAdam, current: State, mean: State, moments: Moments, trainable: Collection[str]
) -> tuple[Arrays, Moments]:
    following, first, second = dict(mean), {}, {}
    for name in trainable:
        x, delta = _pseudo_gradient(current, mean, name)
        # Reddi et al. 2021, algorithm 2, with m_0 = 0 and v_0 = τ²
        m = o.beta1 * moments.first.get(name, np.float32(0.0)) + (1 - o.beta1) * delta
        v = o.beta2 * moments.second.get(name, np.float32(o.tau**2)) + (1 - o.beta2) * delta**2
        first[name], second[name] = m.astype(np.float32), v.astype(np.float32)
        following[name] = (x + o.learning_rate * m / (np.sqrt(v) + o.tau)).astype(np.float32)
    return following, Moments(first=first, second=second)


def _pseudo_gradient(
    current: State, mean: State, name: str
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    x = current[name].astype(np.float64)
    return x, mean[name] - x
