"""What makes a sum that the server altered fail to open: tags inside the ciphertext.

BFV's ciphertexts are malleable: whoever knows the public parameters can add a number to a slot of
one. So every contribution carries, in slots of its own, a homomorphic message authentication code
(Agrawal and Boneh, ACNS 2009; a Carter-Wegman code over the prime field of t). Member i adds

    tag = Σ_b σ_b Σ_j ρ_j·m_bj  +  pad_i  (mod t)

over its slots m (block b, slot j), with secret ρ, σ and pads that a hash of the sites' key, the
round and the member's name gives (SHAKE-256). Codes add as the slots do: the opened sum must have
the code of its own slots plus the pads of exactly the members that it is said to be made of. A
contribution twice, from another round, of a stranger or missing leaves a pad wrong; a value that
was added to slots, or a contribution multiplied by anything, passes with probability 2/t for each
tag: below 2^-91 for the two of them.

CKKS is not exact, so it has no such code; its tags are the pads alone, which say who is in the sum
and no more. A key holder can make any tag: this guards against the server, not against a site.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.protection.encoding.bfv_slots import HALF, PLAIN_MODULUS
from ucadi_flwr.protection.kdf import derive
from ucadi_flwr.protection.scheme.ciphertexts import Row

_BLOCKS = 64  # whose products are held at once
_LIMB = 24  # bits: t is two limbs, and 4096 products of two limbs fit an int64


class Tags(Protocol):
    """How the sum of a scheme is recognised."""

    count: int

    def of(self, key: bytes, agreement: bytes, rows: Row, members: Iterable[str]) -> Row:
        """The tags ``(count,)`` of rows ``(blocks, slots)`` whose tag slots are 0."""

    def match(self, found: Row, expected: Row) -> bool:
        """Whether the opened tags are the expected ones."""


class LinearMac:
    """Two tags modulo t over all slots and members (BFV)."""

    count = 2

    def of(
        self, key: bytes, agreement: bytes, rows: NDArray[np.int64], members: Iterable[str]
    ) -> NDArray[np.int64]:
        """The tags as int64 within ±(t - 1)/2."""
        blocks, slots = rows.shape
        stream = derive(key, "hash", agreement, size=8 * self.count * (slots + blocks))
        points = (np.frombuffer(stream, "<u8") % PLAIN_MODULUS).astype(np.int64)
        rho, sigma = np.split(points.reshape(self.count, -1), [slots], axis=1)
        hashes = _inner_products(rows, rho)
        pads = [_numbers(derive(key, "pad", agreement, m.encode(), size=32), 16) for m in members]
        tags = [
            sum(s * h for s, h in zip(sigma[k].tolist(), hashes[k], strict=True))
            + sum(pad[k] for pad in pads)
            for k in range(self.count)
        ]
        return np.array([(tag + HALF) % PLAIN_MODULUS - HALF for tag in tags], np.int64)

    def match(self, found: NDArray[np.int64], expected: NDArray[np.int64]) -> bool:
        """Equal to the last bit."""
        return bool(np.array_equal(found, expected))


class MembershipTags:
    """Eight tags of 12 bits a member, 96 bits together, over nothing but the members (CKKS)."""

    count = 8
    _bound = 2**12

    def of(
        self, key: bytes, agreement: bytes, rows: NDArray[np.float64], members: Iterable[str]
    ) -> NDArray[np.float64]:
        """The sum of the members' pads as float64."""
        tags = np.zeros(self.count)
        for member in members:
            pad = derive(key, "pad", agreement, member.encode(), size=2 * self.count)
            tags += np.frombuffer(pad, "<u2") % self._bound
        return tags

    def match(self, found: NDArray[np.float64], expected: NDArray[np.float64]) -> bool:
        """Equal within CKKS's error."""
        return bool((np.abs(found - expected) < 1e-3).all())


def _inner_products(rows: NDArray[np.int64], rho: NDArray[np.int64]) -> list[list[int]]:
    """Σ_j ρ_kj·m_bj mod t, by tag k and block b; some blocks at a time, to save memory."""
    parts = [_products_of(rows[i : i + _BLOCKS], rho) for i in range(0, len(rows), _BLOCKS)]
    return [[h for part in parts for h in part[k]] for k in range(len(rho))]


def _products_of(rows: NDArray[np.int64], rho: NDArray[np.int64]) -> list[list[int]]:
    """The same of few blocks, in limbs that cannot overflow an int64."""
    values = rows + (rows >> 63 & PLAIN_MODULUS)  # modulo t: t is added to what is negative
    mask = (1 << _LIMB) - 1
    limbs = [values >> _LIMB, values & mask]
    points = [rho >> _LIMB, rho & mask]
    products = [[(limb @ point.T).T.tolist() for point in points] for limb in limbs]

    def whole(k: int, b: int) -> int:
        parts: Sequence[int] = [products[i][j][k][b] for i in (0, 1) for j in (0, 1)]
        total = (parts[0] << 2 * _LIMB) + ((parts[1] + parts[2]) << _LIMB) + parts[3]
        return total % PLAIN_MODULUS

    return [[whole(k, b) for b in range(len(rows))] for k in range(len(rho))]


def _numbers(stream: bytes, size: int) -> list[int]:
    """Consecutive ``size``-byte integers of a stream."""
    return [int.from_bytes(stream[i : i + size], "big") for i in range(0, len(stream), size)]
