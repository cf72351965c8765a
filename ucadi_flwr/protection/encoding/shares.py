"""A site's share α of the total weight, as an integer number of units of 2^-40.

Shares are rounded down, so that those of any sites add up to at most 1. Every bound on a sum of
encoded values rests on this.
"""

from ucadi_flwr.errors import ProtectionError

FULL_SHARE = 2**40
"""The share of a site that has all the weight: α = 1."""


def share_units(weight: int, total_weight: int) -> int:
    """α = weight / total_weight in units of 2^-40, rounded down.

    Args:
        weight: n_k × E_k of one site (examples × local epochs), above 0.
        total_weight: W, the sum of the weights of all sites that may answer.

    Raises :class:`ProtectionError` where the weight is not above 0, exceeds the total, or is less
    than one unit of it.

    >>> share_units(1, 4) / FULL_SHARE
    0.25
    """
    if not 0 < weight <= total_weight:
        raise ProtectionError(
            f"a weight of {weight} of {total_weight} is not possible; it must be above 0 and at "
            "most the total that the sites declared"
        )
    units = weight * FULL_SHARE // total_weight
    if not units:
        raise ProtectionError(
            f"a weight of {weight} of {total_weight} is too small: it is under 2^-40 of the total"
        )
    return units
