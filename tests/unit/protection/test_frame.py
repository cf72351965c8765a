"""The frame: what was written is read back, and everything else is refused."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from ucadi_flwr.errors import ProtectionError
from ucadi_flwr.protection import frame
from ucadi_flwr.protection.frame import Expected, Kind, MessageContext

SUM = Expected("bfv", b"k" * 16, b"p" * 16, MessageContext("run", 3), Kind.SUM, 4, 10)
BLOB = frame.write(SUM, ["tongji", "union ⌂"], b"a" * 16, b"0123456789")
HEADER = len(BLOB) - 10 - 2 * frame.MEMBER_BYTES


def test_written_and_read() -> None:
    message = frame.read(BLOB, SUM)
    assert message.members == ("tongji", "union ⌂")
    assert message.terms_digest == b"a" * 16
    assert bytes(message.payload) == b"0123456789"


def test_the_header_is_of_a_fixed_size() -> None:
    assert HEADER == 106
    assert SUM.largest == HEADER + 4 * frame.MEMBER_BYTES + 10


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        (replace(SUM, scheme="ckks"), "a scheme other than ckks"),
        (replace(SUM, key_id=b"K" * 16), "under key 6b6b6b6b, expected 4b4b4b4b"),
        (replace(SUM, plan_digest=b"P" * 16), "another model or other parameters"),
        (replace(SUM, message_context=MessageContext("ruin", 3)), "of another run"),
        (
            replace(SUM, message_context=MessageContext("run", 4)),
            "of round 3, attempt 0.*expected the model of round 4",
        ),
        (
            replace(SUM, message_context=MessageContext("run", 3, attempt=1)),
            "expected the model of round 3, attempt 1",
        ),
        (
            replace(SUM, message_context=MessageContext("run", 3, "metrics")),
            "purpose b'model', expected the metrics",
        ),
        (replace(SUM, kind=Kind.CONTRIBUTION), "a contribution was expected"),
        (replace(SUM, max_members=1, payload_size=300), "2 members; 1 to 1"),
        (replace(SUM, payload_size=11), "this plan has a payload of 11"),
        (replace(SUM, payload_size=9, max_members=9), "this plan has a payload of 9"),
        (replace(SUM, max_members=1), "bytes are too many"),
    ],
)
def test_every_field_is_compared(expected: Expected, message: str) -> None:
    with pytest.raises(ProtectionError, match=message):
        frame.read(BLOB, expected)


def test_every_bit_of_the_header_matters() -> None:
    """Each flip is refused, or changes what the opener checks against the tags."""
    genuine = frame.read(BLOB, SUM)
    for bit in range(8 * (HEADER + 2 * frame.MEMBER_BYTES)):
        flipped = bytearray(BLOB)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            message = frame.read(bytes(flipped), SUM)
        except ProtectionError:
            continue
        assert (message.members, message.terms_digest) != (genuine.members, genuine.terms_digest)


@pytest.mark.parametrize("length", [0, 1, HEADER - 1, HEADER, len(BLOB) - 1])
def test_truncated(length: int) -> None:
    with pytest.raises(ProtectionError):
        frame.read(BLOB[:length], SUM)


@pytest.mark.parametrize("extra", [1, frame.MEMBER_BYTES, 10**6])
def test_extended(extra: int) -> None:
    with pytest.raises(ProtectionError):
        frame.read(BLOB + bytes(extra), SUM)


@pytest.mark.parametrize("name", [b"", b"\xff", b"a\nb", b"a\0b"])
def test_members_that_cannot_be_read(name: bytes) -> None:
    blob = bytearray(BLOB)
    blob[HEADER : HEADER + frame.MEMBER_BYTES] = name.ljust(frame.MEMBER_BYTES, b"\0")
    with pytest.raises(ProtectionError, match="cannot be read"):
        frame.read(bytes(blob), SUM)


def test_a_member_twice() -> None:
    blob = bytearray(BLOB)
    second = HEADER + frame.MEMBER_BYTES
    blob[HEADER:second] = blob[second : second + frame.MEMBER_BYTES]
    with pytest.raises(ProtectionError, match="appears twice in the sum"):
        frame.read(bytes(blob), SUM)


@pytest.mark.parametrize("member", ["", "x" * 65, "a\nb", "a\0", "é" * 33])
def test_names_that_cannot_be_written(member: str) -> None:
    with pytest.raises(ProtectionError, match="cannot name a member"):
        frame.write(SUM, [member], b"a" * 16, b"")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MessageContext("run", -1), "cannot be numbered"),
        (lambda: MessageContext("run", 2**32), "cannot be numbered"),
        (lambda: MessageContext("run", 1, attempt=2**16), "cannot be numbered"),
        (lambda: MessageContext("run", 1, purpose=""), "1 to 16 bytes"),
        (lambda: MessageContext("run", 1, purpose="x" * 17), "1 to 16 bytes"),
        (lambda: MessageContext("run", 1, purpose="a\0"), "1 to 16 bytes"),
    ],
)
def test_impossible_message_contexts(make: Callable[[], MessageContext], message: str) -> None:
    with pytest.raises(ProtectionError, match=message):
        make()
