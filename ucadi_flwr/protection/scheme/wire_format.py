"""Polynomials of a ciphertext ⇄ bytes on the wire, each coefficient in as few bytes as it needs.

SEAL holds a coefficient below a prime of b bits in 64 bits. On the wire it has ⌈(b - dropped)/8⌉
bytes. BFV drops the 4 low bits of a 60-bit coefficient, which leaves 7 bytes. The receiver replaces
the dropped bits by the middle of their range, an error of at most 8, which adds to BFV's noise
(:mod:`ucadi_flwr.protection.scheme.bfv` has the bound). CKKS drops nothing.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class WireFormat:
    """The wire form of polynomials with ``degree`` coefficients modulo each of ``primes``.

    Args:
        primes: the primes of the coefficient modulus.
        degree: N, coefficients of a polynomial.
        dropped: low bits of a coefficient that do not travel.

    >>> wire_format = WireFormat(primes=(65537,), degree=2, dropped=0)
    >>> wire_format.seal_size, wire_format.size
    (16, 6)
    """

    primes: tuple[int, ...]
    degree: int
    dropped: int

    @property
    def size(self) -> int:
        """Bytes of one polynomial on the wire."""
        return self.degree * sum(map(self._width, self.primes))

    @property
    def seal_size(self) -> int:
        """Bytes of one polynomial in SEAL."""
        return 8 * self.degree * len(self.primes)

    def to_wire(self, polynomial: bytes) -> bytes:
        """Cut :attr:`seal_size` bytes of SEAL down to :attr:`size`."""
        rows = np.frombuffer(polynomial, "<u8").reshape(len(self.primes), self.degree)
        return b"".join(
            (row >> self.dropped).view(np.uint8).reshape(-1, 8)[:, : self._width(prime)].tobytes()
            for row, prime in zip(rows, self.primes, strict=True)
        )

    def from_wire(self, wire: bytes | memoryview) -> bytes:
        """The inverse of :meth:`to_wire`; any bytes give coefficients below their primes."""
        rows, start = [], 0
        padded = bytes(wire) + bytes(8)
        middle = np.uint64((1 << self.dropped) >> 1)
        for prime in self.primes:
            width = self._width(prime)
            # 8 bytes from the start of each coefficient; the mask removes those of the next one
            windows = np.ndarray(self.degree, "<u8", padded, start, (width,))
            kept = windows & np.uint64((1 << 8 * width) - 1)
            coefficients = (kept << np.uint64(self.dropped)) | middle
            rows.append(np.minimum(coefficients, np.uint64(prime - 1)).tobytes())
            start += width * self.degree
        return b"".join(rows)

    def _width(self, prime: int) -> int:
        return -(-(prime.bit_length() - self.dropped) // 8)
