"""BFV: exact sums of integers modulo t, the scheme to use.

Ring degree N = 4096, one prime q of 60 bits, t of 47 bits. A slot is a coefficient of the plaintext
polynomial: only additions are wanted, so no transform is needed between the two.

**Security**: N = 4096 allows 75 bits of q at 192-bit security (HomomorphicEncryption.org standard,
table 1, ternary secret, classical); SEAL itself checks it. The secret key is ternary.

**Noise**: a sum opens right while its noise is below q/(2t) = 2^12. Per coefficient: σ = 3.2 for
each fresh encryption; 4.6 for the 4 low bits of each c0 that do not travel; and once, on the way
down, 4.6·√(2N/3) = 241 for those of c1 (times the secret's ±1s). At 1024 sites σ ≈ 300, so that
2^12 is 13 σ: less than 2^-120 for the worst coefficient of a model of 10^7 values.
"""

import struct
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.protection.encoding.bfv_slots import HALF, PLAIN_MODULUS
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

_MEMBERS = struct.Struct(
    "<4Q Q d 16s Q"
)  # no level, coefficients, scale 1, DynArray's header, size


class CoefficientEncoding:
    """Integers within ±(t - 1)/2 ⇄ the coefficients of a plaintext."""

    dtype: type[int] | type[float] = int

    def fill(self, plain: Any, row: NDArray[np.int64], seal_io: SealIo) -> None:
        """Write a row ``(4096,)`` of int64."""
        count = len(row)
        start = _MEMBERS.pack(0, 0, 0, 0, count, 1.0, header(8 + 8 * count), count)
        words = row + (row >> 63 & PLAIN_MODULUS)  # modulo t: t is added to what is negative
        seal_io.put(plain, LATTICE.context, start + words.astype("<i8").tobytes())

    def read(self, plain: Any, seal_io: SealIo) -> NDArray[np.int64]:
        """The row ``(4096,)`` as int64; SEAL leaves zeros at the end out."""
        members = seal_io.take(plain, _MEMBERS.size + 8 * LATTICE.slots)
        words = np.frombuffer(members, "<i8", offset=_MEMBERS.size)
        row = np.zeros(LATTICE.slots, np.int64)
        row[: len(words)] = np.where(words > HALF, words - PLAIN_MODULUS, words)
        return row
