"""The closed table of schemes that encrypt."""

from collections.abc import Callable
from dataclasses import dataclass

from ucadi_flwr.errors import ProtectionError
from ucadi_flwr.protection.encoding.slots import HALF
from ucadi_flwr.protection.mac import LinearMac, MembershipTags, Tags
from ucadi_flwr.protection.scheme import bfv, ckks
from ucadi_flwr.protection.scheme.ciphertexts import Lattice, PlaintextEncoding


@dataclass(frozen=True)
class Scheme:
    """A scheme that encrypts: its parameters, how plaintexts hold slots, how sums are tagged."""

    lattice: Lattice
    encoding: Callable[[], PlaintextEncoding]
    tags: Tags


_SCHEMES = {
    "bfv": Scheme(bfv.LATTICE, bfv.CoefficientEncoding, LinearMac()),
    "ckks": Scheme(ckks.LATTICE, ckks.EmbeddingEncoding, MembershipTags()),
}

_TOTALS = {"none": 2**62, "bfv": HALF, "ckks": 2**40}


def scheme(name: str) -> Scheme:
    """The scheme of that name.

    Raises :class:`ProtectionError` on other names, ``none`` included.

    >>> scheme("bfv").lattice.security_bits
    192
    """
    if name not in _SCHEMES:
        raise ProtectionError(f"'{name}' does not encrypt; the schemes are {', '.join(_SCHEMES)}")
    return _SCHEMES[name]


def largest_total(name: str) -> int:
    """Largest |sum of integers| that is exact under a scheme or under ``none``.

    Raises :class:`ProtectionError` on other names.
    """
    if name not in _TOTALS:
        raise ProtectionError(f"no protection '{name}'; there are {', '.join(_TOTALS)}")
    return _TOTALS[name]
