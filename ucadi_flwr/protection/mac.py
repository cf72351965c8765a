"""The MAC inside the ciphertext: a sum that the server altered does not open.

BFV ciphertexts are malleable: whoever knows the public parameters can add a number to a slot. So
every contribution carries, in slots reserved for them, tags of a homomorphic message authentication
code (Agrawal and Boneh, ACNS 2009; a Carter-Wegman code over the prime field of t). Member i adds

    tag = Σ_b σ_b Σ_j ρ_j·m_bj  +  pad_i  (mod t)

over its slots m (block b, slot j). The secret ρ, σ and pads come from a KDF (SHAKE-256) of the
sites' key, the terms digest of the round and, for a pad, the member's name. Tags add as slots do:
the opened sum must have the tags of its own slots plus the pads of exactly the members that its
frame names.

**Threat model.** The adversary is the server or the network: it knows the public parameters and
every message, and holds no key. A contribution that is duplicated, missing, from another round or
from a stranger leaves a wrong pad. A number added to slots, or a contribution multiplied by a
factor, passes with probability 2/t for each tag, since a tag is of degree 2 in ρ and σ; for both,
(2/t)² < 2^-91. Two limits: all sites hold the key and can compute any tag, so that the MAC does not
protect one site from another; and it covers plaintexts, not ciphertexts, so that each refusal shows
the server a little about the key (``docs/protection.md``).

CKKS is not exact, so no such code exists for it. Its tags are the pads alone: they authenticate the
list of members, and not the values.
"""

from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.protection.encoding.slots import HALF, PLAIN_MODULUS, SlotArray, to_residues
from ucadi_flwr.protection.kdf import derive

_BLOCKS = 64  # whose products are held in memory at once
_LIMB = 24  # bits: t has two limbs, and a sum of 4096 products of two limbs fits an int64


class Tags(Protocol):
    """How a scheme authenticates a sum."""

    count: int
    """Slots that the tags take."""

    def of(
        self, key: bytes, terms_digest: bytes, rows: SlotArray, members: Iterable[str]
    ) -> SlotArray:
        """Compute the tags of a contribution, or those expected of a sum.

        Args:
            key: the MAC key, from the sites' secret key.
            terms_digest: what the members have in common in this round.
            rows: all slots ``(blocks, slots)``; the tags' own slots are 0.
            members: the names of those that contributed.

        Returns: the tags ``(count,)``, of the dtype of ``rows``.
        """

    def match(self, opened: SlotArray, expected: SlotArray) -> bool:
        """Whether the tags of an opened sum are the expected ones."""


class LinearMac:
    """Two tags modulo t over all slots and members (BFV).

    >>> mac, rows = LinearMac(), np.array([[0, 0, 7]])
    >>> a, b = (mac.of(b"key", b"terms", rows, [member]) for member in "ab")
    >>> opened = np.array([(int(tag) + HALF) % PLAIN_MODULUS - HALF for tag in a + b])
    >>> mac.match(opened, mac.of(b"key", b"terms", rows + rows, ["a", "b"]))
    True
    >>> mac.match(opened, mac.of(b"key", b"terms", rows + rows, ["a", "c"]))
    False
    """

    count = 2

    def of(
        self, key: bytes, terms_digest: bytes, rows: NDArray[np.int64], members: Iterable[str]
    ) -> NDArray[np.int64]:
        """The tags as int64 within ±(t - 1)/2; see :meth:`Tags.of`."""
        blocks, slots = rows.shape
        stream = derive(key, "hash", terms_digest, size=8 * self.count * (slots + blocks))
        points = (np.frombuffer(stream, "<u8") % PLAIN_MODULUS).astype(np.int64)
        rho, sigma = np.split(points.reshape(self.count, -1), [slots], axis=1)
        products = _inner_products(rows, rho)
        pads = [
            _integers(derive(key, "pad", terms_digest, m.encode(), size=32), 16) for m in members
        ]
        tags = [
            sum(s * p for s, p in zip(sigma[k].tolist(), products[k], strict=True))
            + sum(pad[k] for pad in pads)
            for k in range(self.count)
        ]
        return np.array([(tag + HALF) % PLAIN_MODULUS - HALF for tag in tags], np.int64)

    def match(self, opened: NDArray[np.int64], expected: NDArray[np.int64]) -> bool:
        """Equal to the last bit."""
        return bool(np.array_equal(opened, expected))


class MembershipTags:
    """Eight tags of 12 bits per member, 96 bits in all, over nothing but the members (CKKS)."""

    count = 8
    _bound = 2**12

    def of(
        self, key: bytes, terms_digest: bytes, rows: NDArray[np.float64], members: Iterable[str]
    ) -> NDArray[np.float64]:
        """The sum of the members' pads as float64; see :meth:`Tags.of`."""
        tags = np.zeros(self.count)
        for member in members:
            pad = derive(key, "pad", terms_digest, member.encode(), size=2 * self.count)
            tags += np.frombuffer(pad, "<u2") % self._bound
        return tags

    def match(self, opened: NDArray[np.float64], expected: NDArray[np.float64]) -> bool:
        """Equal within CKKS's error."""
        return bool((np.abs(opened - expected) < 1e-3).all())


def _inner_products(rows: NDArray[np.int64], rho: NDArray[np.int64]) -> list[list[int]]:
    """Σ_j ρ_kj·m_bj mod t, by tag k and block b; :data:`_BLOCKS` blocks at a time."""
    parts = [_products_of(rows[i : i + _BLOCKS], rho) for i in range(0, len(rows), _BLOCKS)]
    return [[product for part in parts for product in part[k]] for k in range(len(rho))]


def _products_of(rows: NDArray[np.int64], rho: NDArray[np.int64]) -> list[list[int]]:
    """The same for few blocks, in limbs that cannot overflow an int64."""
    residues = to_residues(rows)
    mask = (1 << _LIMB) - 1
    limbs = [residues >> _LIMB, residues & mask]
    points = [rho >> _LIMB, rho & mask]
    products = [[(limb @ point.T).T.tolist() for point in points] for limb in limbs]

    def whole(k: int, b: int) -> int:
        parts: Sequence[int] = [products[i][j][k][b] for i in (0, 1) for j in (0, 1)]
        total = (parts[0] << 2 * _LIMB) + ((parts[1] + parts[2]) << _LIMB) + parts[3]
        return total % PLAIN_MODULUS

    return [[whole(k, b) for b in range(len(rows))] for k in range(len(rho))]


def _integers(stream: bytes, size: int) -> list[int]:
    """Consecutive big-endian integers of ``size`` bytes."""
    return [int.from_bytes(stream[i : i + size], "big") for i in range(0, len(stream), size)]
