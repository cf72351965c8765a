"""Rows of slots ⇄ the payload of a message; SEAL (by TenSEAL) does the arithmetic.

**Who holds which key.** Encryption is symmetric, under one secret key that every site holds and the
server never sees; the server only adds. Galois, relinearisation and public keys are never made.

**On the wire.** A fresh ciphertext is (c0, c1) with c1 expanded from a random 64-byte seed, so that
c0 and the seed travel. A sum has no seed, so that c0 and c1 travel. SEAL's headers do not travel:
whatever bytes arrive, SEAL reads coefficients below its primes and a seed, under a header that is
written here. A ciphertext proves nothing about its origin: that is the MAC's part
(:mod:`ucadi_flwr.protection.mac`).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import tenseal.sealapi as seal

from ucadi_flwr.errors import ProtectionError
from ucadi_flwr.protection.encoding.slots import SlotArray
from ucadi_flwr.protection.scheme.seal_io import SealIo, header
from ucadi_flwr.protection.scheme.wire_format import WireFormat

SEED_BYTES = 64
"""Bytes of the seed that c1 is expanded from (SEAL's Blake2xb generator)."""

_GENERATOR = struct.pack("<B", 1)  # Blake2xb


class PlaintextEncoding(Protocol):
    """Slots of one ciphertext ⇄ a SEAL plaintext."""

    dtype: type[int] | type[float]
    """Of the slots."""

    def fill(self, plain: Any, row: SlotArray, seal_io: SealIo) -> None:
        """Write a row ``(slots,)`` into the plaintext."""

    def read(self, plain: Any, seal_io: SealIo) -> SlotArray:
        """The row ``(slots,)`` of a plaintext."""


@dataclass(frozen=True)
class Lattice:
    """The parameters of a scheme, the same at every site and at the server; it holds no key.

    Args:
        scheme: SEAL's name of the scheme, in lower case.
        degree: N of the ring.
        prime_bits: bits of each prime of the coefficient modulus.
        security_bits: least classical security that SEAL accepts.
        slots: numbers in one ciphertext.
        plain_modulus: t, for BFV.
        scale: of the encoding, for CKKS.
        dropped_bits: low bits of a coefficient that do not travel.
    """

    scheme: str
    degree: int
    prime_bits: tuple[int, ...]
    security_bits: int
    slots: int
    plain_modulus: int = 0
    scale: float = 1.0
    dropped_bits: int = 0

    @cached_property
    def context(self) -> Any:
        """SEAL's context.

        Raises :class:`ProtectionError` where SEAL finds the parameters below ``security_bits``.
        """
        parameters = seal.EncryptionParameters(getattr(seal.SCHEME_TYPE, self.scheme.upper()))
        parameters.set_poly_modulus_degree(self.degree)
        parameters.set_coeff_modulus(seal.CoeffModulus.Create(self.degree, list(self.prime_bits)))
        if self.plain_modulus:
            parameters.set_plain_modulus(self.plain_modulus)
        level = getattr(seal.SEC_LEVEL_TYPE, f"TC{self.security_bits}")
        context = seal.SEALContext(parameters, True, level)
        if not context.parameters_set():
            raise ProtectionError(f"SEAL refuses it: {context.parameters_error_message()}")
        return context

    @cached_property
    def wire_format(self) -> WireFormat:
        """The wire form of a polynomial."""
        parameters = self.context.first_context_data().parms()
        primes = tuple(modulus.value() for modulus in parameters.coeff_modulus())
        return WireFormat(primes, self.degree, self.dropped_bits)

    def describe(self) -> list[object]:
        """All parameters that two ends must have in common, for a digest."""
        parameters = [self.scheme, self.degree, self.wire_format.primes, self.plain_modulus]
        return [*parameters, self.scale, self.dropped_bits, self.slots]

    def blocks(self, slots: int) -> int:
        """How many ciphertexts hold that many slots."""
        return -(-slots // self.slots)

    @property
    def fresh_size(self) -> int:
        """Bytes of one fresh ciphertext on the wire."""
        return self.wire_format.size + SEED_BYTES

    @property
    def sum_size(self) -> int:
        """Bytes of one sum on the wire."""
        return 2 * self.wire_format.size

    def cut_fresh(self, members: bytes) -> bytes:
        """SEAL's members of a seeded ciphertext → the wire form."""
        head, tail = self._head(1), header(1 + SEED_BYTES) + _GENERATOR
        start, stop = len(head), len(head) + self.wire_format.seal_size
        if members[:start] != head or members[stop:-SEED_BYTES] != tail:
            raise ProtectionError("this build of SEAL saves in an unknown form")
        return self.wire_format.to_wire(members[start:stop]) + members[-SEED_BYTES:]

    def fresh(self, wire: memoryview) -> bytes:
        """The wire form of a fresh ciphertext → SEAL's members of a seeded ciphertext."""
        polynomial = self.wire_format.from_wire(wire[:-SEED_BYTES])
        seed = bytes(wire[-SEED_BYTES:])
        return self._head(1) + polynomial + header(1 + SEED_BYTES) + _GENERATOR + seed

    def cut_sum(self, members: bytes) -> bytes:
        """SEAL's members of a full ciphertext → the wire form."""
        head, size = self._head(2), self.wire_format.seal_size
        if members[: len(head)] != head or len(members) != len(head) + 2 * size:
            raise ProtectionError("this build of SEAL saves in an unknown form")
        body = members[len(head) :]
        return self.wire_format.to_wire(body[:size]) + self.wire_format.to_wire(body[size:])

    def full(self, wire: memoryview) -> bytes:
        """The wire form of a sum → SEAL's members of a full ciphertext."""
        half = self.wire_format.size
        parts = self.wire_format.from_wire(wire[:half]), self.wire_format.from_wire(wire[half:])
        return self._head(2) + parts[0] + parts[1]

    @cached_property
    def _parms_id(self) -> tuple[int, ...]:
        return tuple(self.context.first_parms_id())

    def _head(self, polynomials: int) -> bytes:
        """What precedes the polynomials: SEAL 4's Ciphertext members, then its DynArray's."""
        primes = len(self.wire_format.primes)
        ntt = self.plain_modulus == 0
        fixed = struct.pack(
            "<4Q ? 3Q d Q",
            *self._parms_id, ntt, 2, self.degree, primes, self.scale, 1,
        )  # fmt: skip
        size = polynomials * self.wire_format.seal_size
        return fixed + header(8 + size) + struct.pack("<Q", size // 8)


class Cipher:
    """A key holder's end: encrypt rows, decrypt sums. It holds the secret key in memory.

    Args:
        lattice: the parameters.
        encoding: how a plaintext holds slots.
        secret: the secret key in SEAL's form (:func:`new_secret`).

    Raises :class:`ProtectionError` where SEAL refuses the key.
    """

    def __init__(self, lattice: Lattice, encoding: PlaintextEncoding, secret: bytes) -> None:
        self.lattice, self._encoding, self.dtype = lattice, encoding, encoding.dtype
        key = seal.SecretKey()
        with SealIo() as seal_io:
            seal_io.load(key, lattice.context, secret)
        self._encryptor = seal.Encryptor(lattice.context, key)
        self._decryptor = seal.Decryptor(lattice.context, key)

    def encrypt(self, rows: SlotArray) -> bytes:
        """Rows ``(blocks, slots)`` → ``blocks × fresh_size`` bytes, with fresh randomness."""
        plain, ciphertexts = seal.Plaintext(), []
        with SealIo() as seal_io:
            for row in rows:
                self._encoding.fill(plain, row, seal_io)
                fresh = self._encryptor.encrypt_symmetric(plain)
                limit = 2 * self.lattice.wire_format.seal_size
                ciphertexts.append(self.lattice.cut_fresh(seal_io.take(fresh, limit)))
        return b"".join(ciphertexts)

    def decrypt(self, payload: memoryview) -> SlotArray:
        """``blocks × sum_size`` bytes → rows ``(blocks, slots)``, not yet authenticated."""
        plain, ciphertext = seal.Plaintext(), seal.Ciphertext()
        size, context = self.lattice.sum_size, self.lattice.context
        rows = np.empty((len(payload) // size, self.lattice.slots), self.dtype)
        with SealIo() as seal_io:
            for i, row in enumerate(rows):
                wire = payload[i * size : (i + 1) * size]
                seal_io.put(ciphertext, context, self.lattice.full(wire))
                self._decryptor.decrypt(ciphertext, plain)
                row[:] = self._encoding.read(plain, seal_io)
        return rows


class Adder:
    """The server's end: add up contributions without a key.

    Its memory is that of one sum, whatever the number of contributions.
    """

    def __init__(self, lattice: Lattice) -> None:
        self.lattice = lattice
        self._evaluator = seal.Evaluator(lattice.context)
        self._sums: list[Any] = []

    def add(self, payload: memoryview) -> None:
        """Add ``blocks × fresh_size`` bytes.

        Raises :class:`ProtectionError` where SEAL refuses a block; the sum is then unchanged.
        """
        first, done = not self._sums, 0
        try:
            for ciphertext in self._load(payload):
                if first:
                    self._sums.append(ciphertext)
                else:
                    self._evaluator.add_inplace(self._sums[done], ciphertext)
                done += 1
        except ProtectionError:
            if first:
                self._sums = []
            else:
                self._take_back(payload[: done * self.lattice.fresh_size])
            raise

    def _load(self, payload: memoryview) -> Iterator[Any]:
        size = self.lattice.fresh_size
        with SealIo() as seal_io:
            for start in range(0, len(payload), size):
                ciphertext = seal.Ciphertext()
                members = self.lattice.fresh(payload[start : start + size])
                seal_io.put(ciphertext, self.lattice.context, members)
                yield ciphertext

    def _take_back(self, payload: memoryview) -> None:
        """Subtract the first blocks again, which is exact."""
        for block, ciphertext in zip(self._sums, self._load(payload), strict=False):
            self._evaluator.sub_inplace(block, ciphertext)

    def result(self) -> bytes:
        """The sum so far, ``blocks × sum_size`` bytes."""
        limit = 4 * self.lattice.wire_format.seal_size
        with SealIo() as seal_io:
            return b"".join(
                self.lattice.cut_sum(seal_io.take(ciphertext, limit)) for ciphertext in self._sums
            )


def new_secret(lattice: Lattice) -> bytes:
    """A new secret key in SEAL's form, from the operating system's randomness."""
    with SealIo() as seal_io:
        return seal_io.save(seal.KeyGenerator(lattice.context).secret_key())
