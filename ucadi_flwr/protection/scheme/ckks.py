"""CKKS: approximate sums of real numbers, the scheme that other frameworks use.

Offered for comparison, with NVFlare's settings: N = 8192, primes of 60, 40 and 40 bits (the last
only in SEAL's keys), scale 2^40. A slot is a float64 and decrypts within about 1e-8.

**Security**: 128 bits, classical (218 bits of modulus are allowed at N = 8192). Two properties of
BFV are missing. The sum is not exact, so that it cannot be authenticated value by value. And a
decrypted value carries noise that depends on the key (Li and Micciancio, eprint 2020/1533): never
publish an opened model while its key is in use.
"""

from typing import Any

import numpy as np
import tenseal.sealapi as seal
from numpy.typing import NDArray

from ucadi_flwr.errors import ProtectionError
from ucadi_flwr.protection.scheme.ciphertexts import Lattice
from ucadi_flwr.protection.scheme.seal_io import SealIo

LATTICE = Lattice(
    scheme="ckks",
    degree=8192,
    prime_bits=(60, 40, 40),
    security_bits=128,
    slots=4096,
    scale=2.0**40,
)


class EmbeddingEncoding:
    """float64 numbers ⇄ a plaintext, by SEAL's canonical embedding."""

    dtype: type[int] | type[float] = float

    def __init__(self) -> None:
        self._encoder = seal.CKKSEncoder(LATTICE.context)

    def fill(self, plain: Any, row: NDArray[np.float64], seal_io: SealIo) -> None:
        """Write a row ``(4096,)`` of float64.

        Raises :class:`ProtectionError` where the modulus cannot hold a value.
        """
        try:
            self._encoder.encode(row.tolist(), LATTICE.scale, plain)
        except ValueError as error:
            raise ProtectionError(f"CKKS cannot hold these values ({error})") from None

    def read(self, plain: Any, seal_io: SealIo) -> NDArray[np.float64]:
        """The row ``(4096,)`` as float64."""
        return np.array(self._encoder.decode_double(plain), np.float64)
