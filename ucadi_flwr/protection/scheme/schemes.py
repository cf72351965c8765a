"""The closed table of schemes."""

from collections.abc import Callable
from dataclasses import dataclass

from ucadi_flwr.errors import ProtectionError
from ucadi_flwr.protection.encoding.bfv_slots import HALF
from ucadi_flwr.protection.mac import LinearMac, MembershipTags, Tags
from ucadi_flwr.protection.scheme import bfv, ckks
from ucadi_flwr.protection.scheme.ciphertexts import Encoding, Lattice


@dataclass(frozen=True)
class Scheme:
    """One scheme that encrypts."""

    lattice: Lattice
    encoding: Callable[[], Encoding]
    tags: Tags


_SCHEMES = {
    "bfv": Scheme(bfv.LATTICE, bfv.CoefficientEncoding, LinearMac()),
    "ckks": Scheme(ckks.LATTICE, ckks.EmbeddingEncoding, MembershipTags()),
}

_TOTALS = {"none": 2**62, "bfv": HALF, "ckks": 2**40}


def scheme(name: str) -> Scheme:
    """The scheme that encrypts by that name."""
    if name not in _SCHEMES:
        raise ProtectionError(f"'{name}' does not encrypt; there are {', '.join(_SCHEMES)}")
    return _SCHEMES[name]


def largest_total(name: str) -> int:
    """Largest |sum of integers| that is exact under a scheme, ``none`` included."""
    if name not in _TOTALS:
        raise ProtectionError(f"no protection '{name}'; there are {', '.join(_TOTALS)}")
    return _TOTALS[name]
