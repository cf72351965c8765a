"""How large a value of each tensor may be: a rule that every site computes for itself.

The range of a packed tensor is twice its largest absolute value in the global model that every site
has just opened; the range of a wide tensor is fixed. The server never sees a range, because ranges
travel inside the ciphertext. A value beyond its range is never clipped: the site raises
:class:`OutOfRange`, and the round is repeated with the multipliers that the exception names.
"""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.errors import ProtectionError
from ucadi_flwr.protection.encoding.layout import Layout, State

WIDE_RANGE = 2.0**19
"""Largest |value| of a wide tensor."""

HEADROOM = 2.0
"""A packed tensor may grow by this factor in one round."""

MAX_MULTIPLIER = 2**20
"""A model that needs more has diverged."""


class OutOfRange(ProtectionError):  # noqa: N818 - a request for a wider range, not a fault
    """Some values do not fit their tensor's range; the round can be repeated with wider ranges.

    Args:
        multipliers: tensor → power of two, times the usual range, that holds its values. The
            server learns these, and no values.
    """

    def __init__(self, multipliers: Mapping[str, int]) -> None:
        self.multipliers = dict(multipliers)
        name, multiplier = next(iter(self.multipliers.items()))
        others = f" ({len(multipliers) - 1} more tensors too)" if len(multipliers) > 1 else ""
        super().__init__(
            f"tensor '{name}' needs {multiplier} × its usual range{others}; "
            "repeat the round with wider ranges"
        )

    def __reduce__(self) -> tuple[type["OutOfRange"], tuple[dict[str, int]]]:
        return OutOfRange, (self.multipliers,)


def usual_ranges(
    layout: Layout, reference: State, multipliers: Mapping[str, int]
) -> NDArray[np.float32]:
    """The range of each tensor, float32 ``(tensors,)``, in the layout's order.

    A pure function of the global model and of the round's public multipliers, bit for bit the same
    at every site. A packed tensor of zeros has the range 1, since its scale is not known.

    Args:
        layout: the tensors of the model.
        reference: the global model that all sites have just opened.
        multipliers: tensor → power of two by which its range is wider than usual.

    Raises :class:`ProtectionError` on a multiplier for an unknown tensor, one that is not a power
    of two from 1 to :data:`MAX_MULTIPLIER`, or a reference that does not fit the layout.
    """
    for name, multiplier in multipliers.items():
        if name not in layout.shapes:
            raise ProtectionError(
                f"a range multiplier names tensor '{name}', which is not in the model"
            )
        if not 1 <= multiplier <= MAX_MULTIPLIER or multiplier & (multiplier - 1):
            raise ProtectionError(
                f"tensor '{name}' cannot have {multiplier} × its range; "
                f"a power of two from 1 to {MAX_MULTIPLIER} is possible"
            )
    layout.check(reference)
    ranges = np.empty(len(layout.tensors), np.float64)
    for i, tensor in enumerate(layout.tensors):
        largest = _largest(reference[tensor.name])
        usual = (HEADROOM * largest or 1.0) if tensor.packed else WIDE_RANGE
        ranges[i] = usual * multipliers.get(tensor.name, 1)
    return np.minimum(ranges, np.finfo(np.float32).max).astype(np.float32)


def check_ranges(
    layout: Layout,
    state: State,
    ranges: NDArray[np.float32],
    multipliers: Mapping[str, int],
) -> None:
    """Raise :class:`OutOfRange` with the multiplier that each tensor needs, unless all values fit.

    Raises :class:`ProtectionError` where a tensor needs more than :data:`MAX_MULTIPLIER`.
    """
    needed = {}
    for tensor, limit in zip(layout.tensors, ranges.tolist(), strict=True):
        largest = _largest(state[tensor.name])
        if largest > limit:
            factor = 2 ** math.ceil(math.log2(largest / limit))
            needed[tensor.name] = max(2, factor) * multipliers.get(tensor.name, 1)
            if needed[tensor.name] > MAX_MULTIPLIER:
                raise ProtectionError(
                    f"tensor '{tensor.name}' exceeds every range; the model has diverged"
                )
    if needed:
        raise OutOfRange(needed)


def _largest(array: NDArray[np.float32]) -> float:
    return max(float(array.max()), -float(array.min()))
