"""The weighted mean of models, added one site at a time; the order makes no difference.

FedAvg's sum in floating point depends on the order in which contributions arrive. Here every
product w_k·x_k is rounded once, to a multiple of 2^-64, and added in integers: the sum is the same
bit for bit in any order, and the memory is two int64 for each value, whatever the number of sites.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.errors import FederationError

Tensors = Mapping[str, NDArray[np.float32]]
"""A model as it travels: tensor name → float32 array, parameters and float buffers."""

MAX_CONTRIBUTIONS = 8192
"""Most contributions to one mean; the integers below cannot overflow up to this number."""

MAX_PRODUCT = 2.0**36
"""Bound of |w_k·x_k|; a model beyond it has diverged."""

_COARSE, _FINE = 2.0**14, 2.0**64  # units per 1.0


@dataclass
class WeightedMean:
    """Σ w_k·x_k / Σ w_k over the contributions added so far (McMahan et al. 2017, algorithm 1).

    **Overflow bound:** |w_k·x_k| < 2^36 and at most 2^13 contributions keep both sums in int64:
    below 2^36·2^14·2^13 = 2^63 units for the coarse one, 2^-15·2^64·2^13 = 2^62 for the fine one.

    >>> mean = WeightedMean()
    >>> mean.add({"w": np.array([1.0], np.float32)}, weight=3)
    >>> mean.add({"w": np.array([5.0], np.float32)}, weight=1)
    >>> mean.mean()["w"].tolist()
    [2.0]
    """

    total_weight: int = 0
    contributions: int = 0
    _coarse: dict[str, NDArray[np.int64]] = field(default_factory=dict, repr=False)
    _fine: dict[str, NDArray[np.int64]] = field(default_factory=dict, repr=False)

    def add(self, state: Tensors, weight: int) -> None:
        """Add one site's model.

        Args:
            state: the model, float32.
            weight: n_k × E_k (examples × local epochs), above 0.

        Raises :class:`FederationError`, and adds nothing, on a weight that is not above 0, on a
        value that is too large or not finite, and beyond :data:`MAX_CONTRIBUTIONS`.
        """
        if weight <= 0:
            raise FederationError(f"a weight of {weight} cannot be aggregated; it must be above 0")
        if self.contributions == MAX_CONTRIBUTIONS:
            raise FederationError(f"more than {MAX_CONTRIBUTIONS} contributions in one mean")
        for name, values in state.items():
            largest = float(np.max(np.abs(values), initial=0.0))
            if not weight * largest < MAX_PRODUCT:  # also catches NaN
                raise FederationError(
                    f"tensor '{name}' holds the value {largest:g}, too large for a mean"
                )
        for name, values in state.items():
            product = values.astype(np.float64) * weight
            coarse = np.rint(product * _COARSE)
            fine = np.rint((product - coarse / _COARSE) * _FINE)
            for sums, part in ((self._coarse, coarse), (self._fine, fine)):
                if name in sums:
                    sums[name] += part.astype(np.int64)
                else:
                    sums[name] = part.astype(np.int64)
        self.total_weight += weight
        self.contributions += 1

    def mean(self) -> dict[str, NDArray[np.float32]]:
        """The mean as float32.

        Identical contributions have themselves as the mean, bit for bit; values below 2^-40 within
        2^-64.

        Raises :class:`FederationError` before the first contribution.
        """
        if self.total_weight == 0:
            raise FederationError("the mean of no contributions is not defined")
        return {
            name: np.asarray(
                (self._coarse[name] / _COARSE + self._fine[name] / _FINE) / self.total_weight,
                dtype=np.float32,
            )
            for name in self._coarse
        }
