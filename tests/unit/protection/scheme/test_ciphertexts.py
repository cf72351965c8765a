"""The lattice schemes by TenSEAL: parameters, sizes, noise, other builds of SEAL."""

import numpy as np
import pytest
import tenseal.sealapi as seal

from ucadi_flwr.errors import ProtectionError
from ucadi_flwr.protection.encoding.slots import HALF, PLAIN_MODULUS
from ucadi_flwr.protection.scheme import bfv, ckks
from ucadi_flwr.protection.scheme.ciphertexts import SEED_BYTES, Adder, Cipher, Lattice, new_secret
from ucadi_flwr.protection.scheme.seal_io import SealIo


@pytest.fixture(scope="module")
def secret() -> bytes:
    return new_secret(bfv.LATTICE)


@pytest.fixture(scope="module")
def cipher(secret: bytes) -> Cipher:
    return Cipher(bfv.LATTICE, bfv.CoefficientEncoding(), secret)


def test_the_parameters_are_those_of_the_documentation() -> None:
    assert seal.PlainModulus.Batching(4096, 47).value() == PLAIN_MODULUS
    assert bfv.LATTICE.wire_format.primes[0].bit_length() == 60
    assert [q.bit_length() for q in ckks.LATTICE.wire_format.primes] == [60, 40]
    assert seal.CoeffModulus.MaxBitCount(4096, seal.SEC_LEVEL_TYPE.TC192) == 75
    assert not bfv.LATTICE.context.using_keyswitching()


def test_bytes_a_ciphertext() -> None:
    assert bfv.LATTICE.fresh_size == 7 * 4096 + 64
    assert bfv.LATTICE.sum_size == 2 * 7 * 4096
    assert ckks.LATTICE.fresh_size == 13 * 8192 + 64
    assert ckks.LATTICE.sum_size == 2 * 13 * 8192


def test_weak_parameters_are_refused_by_seal() -> None:
    weak = Lattice("bfv", 2048, (60,), 192, 2048, PLAIN_MODULUS)
    with pytest.raises(ProtectionError, match="security standard"):
        _ = weak.context


def test_a_sum_wraps_exactly_modulo_t(cipher: Cipher) -> None:
    rows = np.array([[HALF] * 4096, [-HALF] * 4096, [0] * 4096])
    adder = Adder(bfv.LATTICE)
    for _ in range(3):
        adder.add(memoryview(cipher.encrypt(rows)))
    opened = cipher.decrypt(memoryview(adder.result()))
    assert (opened == (3 * rows + HALF) % PLAIN_MODULUS - HALF).all()


def test_the_noise_of_a_hundred_sites_is_within_the_budget(secret: bytes, cipher: Cipher) -> None:
    """SEAL's own measure of the rest, with low bits dropped in both directions; 0 is failure."""
    key, total = seal.SecretKey(), seal.Ciphertext()
    adder = Adder(bfv.LATTICE)
    for _ in range(100):
        adder.add(memoryview(cipher.encrypt(np.full((1, 4096), HALF))))
    with SealIo() as seal_io:
        seal_io.load(key, bfv.LATTICE.context, secret)
        members = bfv.LATTICE.full(memoryview(adder.result()))
        seal_io.put(total, bfv.LATTICE.context, members)
    assert seal.Decryptor(bfv.LATTICE.context, key).invariant_noise_budget(total) >= 1


def test_all_encryptions_differ(cipher: Cipher) -> None:
    rows = np.zeros((2, 4096), np.int64)
    size = bfv.LATTICE.fresh_size
    blobs = [cipher.encrypt(rows) for _ in range(3)]
    parts = [blob[i : i + size] for blob in blobs for i in (0, size)]
    assert (
        len({part[:-SEED_BYTES] for part in parts})
        == len({part[-SEED_BYTES:] for part in parts})
        == 6
    )


def test_random_bytes_decrypt_to_garbage_without_an_error(cipher: Cipher) -> None:
    rng = np.random.default_rng(0)
    adder = Adder(bfv.LATTICE)
    adder.add(memoryview(rng.bytes(bfv.LATTICE.fresh_size)))
    adder.add(memoryview(cipher.encrypt(np.zeros((1, 4096), np.int64))))
    opened = cipher.decrypt(memoryview(adder.result()))
    assert np.abs(opened).max() > HALF // 2
    assert cipher.decrypt(memoryview(rng.bytes(bfv.LATTICE.sum_size))).shape == (1, 4096)


@pytest.mark.parametrize("block", [0, 1, 2])
@pytest.mark.parametrize("before", [0, 1])
def test_a_contribution_is_added_whole_or_not(
    cipher: Cipher, monkeypatch: pytest.MonkeyPatch, block: int, before: int
) -> None:
    """SEAL accepts all bytes of the right size, so that its refusal is simulated."""
    rows = np.arange(3 * 4096).reshape(3, 4096)
    adder, wire = Adder(bfv.LATTICE), memoryview(cipher.encrypt(rows))
    for _ in range(before):
        adder.add(wire)
    sum_before = adder.result()
    fresh, calls = Lattice.fresh, iter(range(99))

    def refuse(lattice: Lattice, wire: memoryview) -> bytes:
        if next(calls) == block:
            raise ProtectionError("SEAL refuses it (simulated)")
        return fresh(lattice, wire)

    with monkeypatch.context() as patch:
        patch.setattr(Lattice, "fresh", refuse)
        with pytest.raises(ProtectionError, match="simulated"):
            adder.add(wire)
    assert adder.result() == sum_before
    adder.add(wire)
    total = cipher.decrypt(memoryview(adder.result()))
    assert (total == (before + 1) * rows).all()


def test_foreign_members_are_refused(cipher: Cipher) -> None:
    fresh = bfv.LATTICE.fresh(memoryview(cipher.encrypt(np.zeros((1, 4096), np.int64))))
    full = bfv.LATTICE.full(memoryview(bytes(bfv.LATTICE.sum_size)))
    for cut, members in ((bfv.LATTICE.cut_fresh, fresh), (bfv.LATTICE.cut_sum, full)):
        cut(members)
        for foreign in (b"x" + members[1:], members + b"x", members[:-1]):
            with pytest.raises(ProtectionError, match="saves in an unknown form"):
                cut(foreign)


def test_seal_refuses_a_broken_key() -> None:
    with pytest.raises(ProtectionError, match="SEAL refuses it"):
        Cipher(bfv.LATTICE, bfv.CoefficientEncoding(), b"no key")


def test_ckks_refuses_what_it_cannot_hold() -> None:
    cipher = Cipher(ckks.LATTICE, ckks.EmbeddingEncoding(), new_secret(ckks.LATTICE))
    with pytest.raises(ProtectionError, match="CKKS cannot hold"):
        cipher.encrypt(np.full((1, 4096), 1e30))
