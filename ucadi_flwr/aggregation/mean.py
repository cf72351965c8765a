"""The weighted mean of models, added one site at a time, exact and so free of order.

FedAvg's sum in floating point depends on the order in which answers arrive. Here every product
w_k·x_k is rounded once, by its own site's values, to a multiple of 2^-64 and added in integers:
the sum is the same bit for bit in any order, and memory is two integers a value however many
sites there are.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.errors import FederationError

State = Mapping[str, NDArray[np.float32]]
"""A model as it travels: tensor name → float32 array, parameters and float buffers."""

MAX_SITES = 8192
"""Contributions to one mean; the integers below cannot overflow up to here."""

MAX_PRODUCT = 2.0**36
"""Largest |w_k·x_k| that is added; beyond it a model has diverged."""

_COARSE, _FINE = 2.0**14, 2.0**64  # units per 1.0; 2^36·2^14·2^13 and 2^-15·2^64·2^13 fit int64


@dataclass
class WeightedMean:
    """Σ w_k·x_k / Σ w_k over the contributions added so far (McMahan et al. 2017, algorithm 1)."""

    total_weight: int = 0
    contributions: int = 0
    _coarse: dict[str, NDArray[np.int64]] = field(default_factory=dict, repr=False)
    _fine: dict[str, NDArray[np.int64]] = field(default_factory=dict, repr=False)

    def add(self, state: State, weight: int) -> None:
        """Add one site's model with an integer weight > 0 (n_k × E_k).

        Raises :class:`FederationError` and adds nothing if a value is too large or not finite.
        """
        if weight <= 0:
            raise FederationError(f"a weight of {weight} cannot be aggregated; it must be above 0")
        if self.contributions == MAX_SITES:
            raise FederationError(f"more than {MAX_SITES} contributions in one mean")
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

        Identical contributions give themselves back bit for bit, values below 2^-40 to 2^-64.
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
