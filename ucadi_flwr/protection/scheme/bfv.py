"""BFV: exact sums of integers modulo t, the recommended scheme.

Ring degree N = 4096, one prime q of 60 bits, t of 47 bits. A slot is a coefficient of the plaintext
polynomial: sums need no products of slots, and so no transform between the two.

**Security**: 192 bits, classical. At that level N = 4096 allows 75 bits of q
(HomomorphicEncryption.org standard, table 1, ternary secret); SEAL itself checks it. The secret key
is ternary.

**Noise bound**: a sum decrypts correctly while its noise is below q/(2t) = 2^12 in every
coefficient. Per coefficient, the standard deviation σ is 3.2 for each fresh encryption; 4.6 for the
4 low bits of each c0 that do not travel; and once, on the way down, 4.6·√(2N/3) = 241 for the low
bits of c1 (times the coefficients ±1 of the secret key). At 1024 sites σ ≈ 300 in total, so that
2^12 is 13 σ: a probability below 2^-120 for the worst coefficient of a model of 10^7 values.
"""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.protection.encoding.slots import PLAIN_MODULUS, from_residues, to_residues
from ucadi_flwr.protection.scheme.ciphertexts import Lattice
from ucadi_flwr.protection.scheme.seal_io import SealIo, header

LATTICE = Lattice(
    scheme="bfv",
    degree=4096,
    prime_bits=(60,),
    security_bits=192,
    slots=4096,
    plain_modulus=PLAIN_MODULUS,
    dropped_bits=4,
)

# SEAL's Plaintext: parms_id 0, coefficients, scale 1; then its DynArray: header, coefficients
_MEMBERS = struct.Struct("<4Q Q d 16s Q")


class CoefficientEncoding:
    """Integers within ±(t - 1)/2 ⇄ the coefficients of a plaintext."""

    dtype: type[int] | type[float] = int

    def fill(self, plain: Any, row: NDArray[np.int64], seal_io: SealIo) -> None:
        """Write a row ``(4096,)`` of int64."""
        count = len(row)
        start = _MEMBERS.pack(0, 0, 0, 0, count, 1.0, header(8 + 8 * count), count)
        seal_io.put(plain, LATTICE.context, start + to_residues(row).astype("<i8").tobytes())

    def read(self, plain: Any, seal_io: SealIo) -> NDArray[np.int64]:
        """The row ``(4096,)`` as int64; SEAL leaves out zeros at the end."""
        members = seal_io.take(plain, _MEMBERS.size + 8 * LATTICE.slots)
        coefficients = np.frombuffer(members, "<i8", offset=_MEMBERS.size)
        row = np.zeros(LATTICE.slots, np.int64)
        row[: len(coefficients)] = from_residues(coefficients)
        return row
