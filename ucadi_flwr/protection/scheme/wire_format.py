"""Polynomials of a ciphertext ⇄ bytes on the wire, each word in the bytes that it needs.

SEAL keeps a coefficient below a prime of b bits in 64 bits. Here it travels in ⌈(b - dropped)/8⌉
bytes. BFV drops the 4 low bits of a 60-bit word, which leaves 7 bytes: the receiver puts the
middle of what was cut there, an error of at most 8, which is noise to BFV
(:mod:`ucadi_flwr.protection.scheme.bfv` has the budget). CKKS drops nothing.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class WireFormat:
    """The wire form of polynomials with ``degree`` coefficients below each of ``primes``."""

    primes: tuple[int, ...]
    degree: int
    dropped: int

    @property
    def size(self) -> int:
        """Bytes of one polynomial on the wire."""
        return self.degree * sum(map(self._width, self.primes))

    @property
    def seal_size(self) -> int:
        """Bytes of one polynomial in SEAL's memory."""
        return 8 * self.degree * len(self.primes)

    def to_wire(self, polynomial: bytes) -> bytes:
        """Cut what :attr:`seal_size` bytes of SEAL hold down to :attr:`size`."""
        words = np.frombuffer(polynomial, "<u8").reshape(len(self.primes), self.degree)
        return b"".join(
            (row >> self.dropped).view(np.uint8).reshape(-1, 8)[:, : self._width(prime)].tobytes()
            for row, prime in zip(words, self.primes, strict=True)
        )

    def from_wire(self, wire: bytes | memoryview) -> bytes:
        """The inverse of :meth:`to_wire`; whatever the bytes, every word is below its prime."""
        rows, start = [], 0
        padded = bytes(wire) + bytes(8)
        middle = np.uint64((1 << self.dropped) >> 1)
        for prime in self.primes:
            width = self._width(prime)
            # eight bytes from every width-th on; what belongs to the next word is masked away
            windows = np.ndarray(self.degree, "<u8", padded, start, (width,))
            words = windows & np.uint64((1 << 8 * width) - 1)
            words = (words << np.uint64(self.dropped)) | middle
            rows.append(np.minimum(words, np.uint64(prime - 1)).tobytes())
            start += width * self.degree
        return b"".join(rows)

    def _width(self, prime: int) -> int:
        return -(-(prime.bit_length() - self.dropped) // 8)
