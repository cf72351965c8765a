"""Rows of slots ⇄ the body of a message: TenSEAL's SEAL does the arithmetic, this feeds it.

Symmetric encryption under one secret key that every site holds and the server never sees; the
server only adds. Galois, relinearisation and public keys are never made. A fresh ciphertext is
(c0, c1) with c1 expanded from a random 64-byte seed, so c0 and the seed travel; a sum has no seed,
so c0 and c1 do. None of SEAL's headers travels: whatever the bytes, SEAL gets words below its
primes and a seed, with a header that is written here.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import tenseal.sealapi as seal
from numpy.typing import NDArray

from ucadi_flwr.errors import ProtectionError
from ucadi_flwr.protection.scheme.seal_io import SealIo, header
from ucadi_flwr.protection.scheme.wire_format import WireFormat

Row = NDArray[Any]
"""Slots: int64 for BFV, float64 for CKKS; one row is one ciphertext's."""

SEED = 64
"""Bytes of the seed that c1 is expanded from (SEAL's Blake2xb generator)."""

_GENERATOR = struct.pack("<B", 1)  # Blake2xb


class Encoding(Protocol):
    """Slots of one ciphertext ⇄ a SEAL plaintext; ``dtype`` is that of the slots."""

    dtype: type[int] | type[float]

    def fill(self, plain: Any, row: Row, seal_io: SealIo) -> None:
        """Write a row ``(slots,)`` into the plaintext."""

    def read(self, plain: Any, seal_io: SealIo) -> Row:
        """The row ``(slots,)`` of a plaintext."""


@dataclass(frozen=True)
class Lattice:
    """One set of parameters, the same at every site and at the server; no key in it."""

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
        """SEAL's context; SEAL itself refuses parameters below ``security_bits``."""
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
        """How a polynomial of a ciphertext travels."""
        parameters = self.context.first_context_data().parms()
        primes = tuple(modulus.value() for modulus in parameters.coeff_modulus())
        return WireFormat(primes, self.degree, self.dropped_bits)

    def describe(self) -> list[object]:
        """Everything that two ends must have in common, for a digest."""
        parameters = [self.scheme, self.degree, self.wire_format.primes, self.plain_modulus]
        return [*parameters, self.scale, self.dropped_bits, self.slots]

    def blocks(self, slots: int) -> int:
        """How many ciphertexts hold that many slots."""
        return -(-slots // self.slots)

    @property
    def fresh_size(self) -> int:
        """Bytes of one fresh ciphertext on the wire."""
        return self.wire_format.size + SEED

    @property
    def sum_size(self) -> int:
        """Bytes of one sum on the wire."""
        return 2 * self.wire_format.size

    def cut_fresh(self, members: bytes) -> bytes:
        """SEAL's seeded members → the wire form."""
        head, tail = self._head(1), header(1 + SEED) + _GENERATOR
        start, stop = len(head), len(head) + self.wire_format.seal_size
        if members[:start] != head or members[stop:-SEED] != tail:
            raise ProtectionError("this build of SEAL saves in a form that is not known here")
        return self.wire_format.to_wire(members[start:stop]) + members[-SEED:]

    def fresh(self, wire: memoryview) -> bytes:
        """The wire form of a fresh ciphertext → SEAL's seeded members."""
        polynomial = self.wire_format.from_wire(wire[:-SEED])
        seed = bytes(wire[-SEED:])
        return self._head(1) + polynomial + header(1 + SEED) + _GENERATOR + seed

    def cut_sum(self, members: bytes) -> bytes:
        """SEAL's members of a full ciphertext → the wire form."""
        head, size = self._head(2), self.wire_format.seal_size
        if members[: len(head)] != head or len(members) != len(head) + 2 * size:
            raise ProtectionError("this build of SEAL saves in a form that is not known here")
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
        """What stands before the wire_format: SEAL 4's Ciphertext members, then its DynArray's."""
        primes = len(self.wire_format.primes)
        ntt = self.plain_modulus == 0
        fixed = struct.pack(
            "<4Q ? 3Q d Q",
            *self._parms_id, ntt, 2, self.degree, primes, self.scale, 1,
        )  # fmt: skip
        size = polynomials * self.wire_format.seal_size
        return fixed + header(8 + size) + struct.pack("<Q", size // 8)


class Cipher:
    """What a key holder does: encrypt rows, and open sums. It keeps the secret key in memory."""

    def __init__(self, lattice: Lattice, encoding: Encoding, secret: bytes) -> None:
        self.lattice, self._encoding, self.dtype = lattice, encoding, encoding.dtype
        key = seal.SecretKey()
        with SealIo() as seal_io:
            seal_io.load(key, lattice.context, secret)
        self._encryptor = seal.Encryptor(lattice.context, key)
        self._decryptor = seal.Decryptor(lattice.context, key)

    def encrypt(self, rows: Row) -> bytes:
        """Rows ``(blocks, slots)`` → ``blocks × fresh_size`` bytes, with fresh randomness."""
        plain, found = seal.Plaintext(), []
        with SealIo() as seal_io:
            for row in rows:
                self._encoding.fill(plain, row, seal_io)
                fresh = self._encryptor.encrypt_symmetric(plain)
                limit = 2 * self.lattice.wire_format.seal_size
                found.append(self.lattice.cut_fresh(seal_io.take(fresh, limit)))
        return b"".join(found)

    def decrypt(self, payload: memoryview) -> Row:
        """``blocks × sum_size`` bytes → rows ``(blocks, slots)``, whatever they may mean."""
        plain, cipher = seal.Plaintext(), seal.Ciphertext()
        size, context = self.lattice.sum_size, self.lattice.context
        rows = np.empty((len(payload) // size, self.lattice.slots), self.dtype)
        with SealIo() as seal_io:
            for i, row in enumerate(rows):
                wire = payload[i * size : (i + 1) * size]
                seal_io.put(cipher, context, self.lattice.full(wire))
                self._decryptor.decrypt(cipher, plain)
                row[:] = self._encoding.read(plain, seal_io)
        return rows


class Adder:
    """What the server does: add contributions up, in the memory of their sum, without a key."""

    def __init__(self, lattice: Lattice) -> None:
        self.lattice = lattice
        self._evaluator = seal.Evaluator(lattice.context)
        self._sums: list[Any] = []

    def add(self, payload: memoryview) -> None:
        """Add ``blocks × fresh_size`` bytes; all or, if SEAL refuses any, nothing."""
        first, done = not self._sums, 0
        try:
            for cipher in self._load(payload):
                if first:
                    self._sums.append(cipher)
                else:
                    self._evaluator.add_inplace(self._sums[done], cipher)
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
                cipher = seal.Ciphertext()
                members = self.lattice.fresh(payload[start : start + size])
                seal_io.put(cipher, self.lattice.context, members)
                yield cipher

    def _take_back(self, payload: memoryview) -> None:
        """Subtract the first blocks again, which is exact."""
        for own, cipher in zip(self._sums, self._load(payload), strict=False):
            self._evaluator.sub_inplace(own, cipher)

    def result(self) -> bytes:
        """The sum so far, ``blocks × sum_size`` bytes."""
        limit = 4 * self.lattice.wire_format.seal_size
        with SealIo() as seal_io:
            return b"".join(
                self.lattice.cut_sum(seal_io.take(cipher, limit)) for cipher in self._sums
            )


def new_secret(lattice: Lattice) -> bytes:
    """A new secret key in SEAL's form, from the operating system's randomness."""
    with SealIo() as seal_io:
        return seal_io.save(seal.KeyGenerator(lattice.context).secret_key())
