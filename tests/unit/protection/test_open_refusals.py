"""What a site refuses to open: every forgery that a server could make."""

import numpy as np
import pytest
import tenseal.sealapi as seal
from helpers.protected_round import (
    ALL_SCHEMES,
    CONTEXT,
    ENCRYPTED,
    NAMES,
    ProtectedFederation,
    federation,
    random_state,
    renamed,
)

from ucadi_flwr.errors import ProtectionError
from ucadi_flwr.protection import frame
from ucadi_flwr.protection.frame import Kind, MessageContext
from ucadi_flwr.protection.keys import ServerContext, SiteKey
from ucadi_flwr.protection.plan import expected
from ucadi_flwr.protection.protect import make_site
from ucadi_flwr.protection.scheme import bfv
from ucadi_flwr.protection.scheme.seal_io import SealIo
from ucadi_flwr.protection.site import SealedSite

DOES_NOT_OPEN = "does not open as the sum of"


def forged(
    fed: ProtectedFederation,
    members: list[str],
    blob: bytes,
    context: MessageContext = CONTEXT,
) -> bytes:
    """The same sum under another frame, as only the server could write it."""
    genuine = fed.read(blob)
    claim = expected(fed.plan, fed.context, context, Kind.SUM)
    return frame.write(claim, members, genuine.terms_digest, bytes(genuine.payload))


@ALL_SCHEMES
def test_too_few_members(scheme: str) -> None:
    fed = federation(scheme)
    total = fed.sum(min_sites=1)
    total.add(fed.seal("tongji", random_state(0)))
    total.add(fed.seal("union", random_state(1)))
    with pytest.raises(ProtectionError, match="the sum is of 2 sites"):
        fed.site("a").open(fed.plan, CONTEXT, total.result())


@ENCRYPTED
@pytest.mark.parametrize(
    "members",
    [
        [*NAMES, "another"],
        ["tongji", "union", "another"],
        ["tongji", "union", "Nccid"],
        [f"s{i}" for i in range(5)],
    ],
)
def test_a_false_list_of_members(scheme: str, members: list[str]) -> None:
    fed = federation(scheme)
    assert DOES_NOT_OPEN in fed.refusal(forged(fed, members, fed.add_up(fed.seal_three())))


@ENCRYPTED
def test_a_site_counted_twice_under_another_name(scheme: str) -> None:
    fed = federation(scheme)
    blobs = fed.seal_three()
    blobs[2] = renamed(blobs[0], "tongji", "nccid")
    assert DOES_NOT_OPEN in fed.refusal(fed.add_up(blobs))


@ENCRYPTED
def test_a_replay_under_the_frame_of_another_round(scheme: str) -> None:
    fed = federation(scheme)
    later = MessageContext("run-a", 2)
    blob = fed.add_up(fed.seal_three())
    assert DOES_NOT_OPEN in fed.refusal(forged(fed, NAMES, blob, later), later)
    assert "expected the model of round 2" in fed.refusal(blob, later)


@ENCRYPTED
def test_a_sum_under_another_key_whose_frame_names_this_key(scheme: str) -> None:
    fed = federation(scheme)
    blob = fed.add_up(fed.seal_three())
    stranger = make_site(SiteKey.create(scheme), "a", 3)
    with pytest.raises(ProtectionError, match="under key"):
        stranger.open(fed.plan, CONTEXT, blob)
    assert isinstance(stranger, SealedSite)
    assert isinstance(fed.context, ServerContext)
    stranger._context = fed.context  # the frame falsely says that the key is right
    with pytest.raises(ProtectionError, match=DOES_NOT_OPEN):
        stranger.open(fed.plan, CONTEXT, blob)


@ENCRYPTED
def test_a_random_payload(scheme: str) -> None:
    fed = federation(scheme)
    blob = fed.add_up(fed.seal_three())
    genuine, claim = fed.read(blob), expected(fed.plan, fed.context, CONTEXT, Kind.SUM)
    noise = np.random.default_rng(0).bytes(len(genuine.payload))
    assert DOES_NOT_OPEN in fed.refusal(frame.write(claim, NAMES, genuine.terms_digest, noise))
    assert DOES_NOT_OPEN in fed.refusal(
        frame.write(claim, NAMES, b"x" * frame.ID_BYTES, bytes(genuine.payload))
    )


def test_every_altered_coefficient_of_a_bfv_sum_is_detected() -> None:
    """A high bit of a coefficient, anywhere: in the header, the tags, the values, the padding."""
    fed = federation("bfv")
    blob = fed.add_up(fed.seal_three())
    start = len(blob) - bfv.LATTICE.sum_size
    for coefficient in (0, 1, 2, 3, 5, 9, 20, 500, 1410, 4095):
        for polynomial in (0, 1):
            altered = bytearray(blob)
            altered[start + 7 * (4096 * polynomial + coefficient) + 6] ^= 0x40
            assert DOES_NOT_OPEN in fed.refusal(bytes(altered))


@pytest.mark.parametrize("slot", [0, 1, 2, 3, 4, 8, 12, 900, 4095])
def test_a_value_that_the_server_added(slot: int) -> None:
    """SEAL's own addition of a plaintext, which needs no key."""
    fed = federation("bfv")
    blob = fed.add_up(fed.seal_three())
    lattice, row = bfv.LATTICE, np.zeros(4096, np.int64)
    row[slot] = 3  # a sum of three ranges' bits stays divisible by three
    ciphertext, plain = seal.Ciphertext(), seal.Plaintext()
    head = len(blob) - lattice.sum_size
    with SealIo() as seal_io:
        seal_io.put(ciphertext, lattice.context, lattice.full(memoryview(blob)[head:]))
        bfv.CoefficientEncoding().fill(plain, row, seal_io)
        seal.Evaluator(lattice.context).add_plain_inplace(ciphertext, plain)
        members = seal_io.take(ciphertext, 4 * lattice.wire_format.seal_size)
    assert DOES_NOT_OPEN in fed.refusal(blob[:head] + lattice.cut_sum(members))


@ENCRYPTED
def test_every_bit_of_the_frame(scheme: str) -> None:
    fed = federation(scheme)
    blob = fed.add_up(fed.seal_three())
    head = len(blob) - len(fed.read(blob).payload)
    for bit in range(0, 8 * head, 5):
        altered = bytearray(blob)
        altered[bit // 8] ^= 1 << bit % 8
        fed.refusal(bytes(altered))


def test_sites_with_different_ranges_do_not_open_as_one_sum() -> None:
    """The bits of the ranges 1, 4 and 16 add up to three times those of 4: the tags differ."""
    fed = federation("bfv")
    total, terms_digest = fed.sum(), b""
    for i, name in enumerate(NAMES):
        reference = {n: np.full_like(a, 0.5 * 4**i) for n, a in fed.reference.items()}
        blob = fed.site(name).seal(fed.plan, CONTEXT, random_state(i), reference, 1, 3)
        contribution = fed.read(blob, Kind.CONTRIBUTION)
        terms_digest = terms_digest or contribution.terms_digest
        total.add(blob.replace(contribution.terms_digest, terms_digest, 1))
    assert DOES_NOT_OPEN in fed.refusal(total.result())


@ENCRYPTED
def test_shares_above_one(scheme: str) -> None:
    """Sites whose total weight is smaller than the sum of their weights."""
    fed = federation(scheme)
    small = {n: a / 8 for n, a in random_state(0).items()}
    blob = fed.add_up([fed.seal(name, small, 3, 3) for name in NAMES])
    assert "the shares add up to 3" in fed.refusal(blob)
