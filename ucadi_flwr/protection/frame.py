"""The frame of a message: a fixed header, the names of the members, the payload.

All of it is public, and is checked before SEAL reads a byte of the payload: magic, version, scheme,
key id, plan, run, round, purpose, sender and every length. The length of the payload follows from
the plan, so that no frame can make the reader allocate memory. A frame states what its sender
*claims*; whoever opens the sum verifies the claim (:mod:`ucadi_flwr.protection.mac`).
"""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from ucadi_flwr.errors import ProtectionError

ID_BYTES = 16
"""Bytes of the ids and digests in a frame."""

MEMBER_BYTES = 64
"""Bytes of a member's name in a frame, UTF-8 and padded with zeros."""

_MAGIC, _VERSION = b"UCPR", 1
_BINDING = struct.Struct(f">4s B 4s {ID_BYTES}s {ID_BYTES}s {ID_BYTES}s I H 16s")
_REST = struct.Struct(f">B {ID_BYTES}s H Q")  # kind, terms digest, members, payload's bytes


class Kind(IntEnum):
    """Who wrote the frame."""

    CONTRIBUTION = 1  # one site
    SUM = 2  # the server


@dataclass(frozen=True)
class MessageContext:
    """What a message is for. A message that was sealed for one context opens in no other.

    A site seals once for each context; a round that is repeated is another ``attempt``.

    Args:
        run: the run's id, and whatever else separates its sums.
        round: the server round, from 0 to 2^32 - 1.
        purpose: what is summed, 1 to 16 bytes.
        attempt: how often the round was repeated, from 0 to 2^16 - 1.

    >>> str(MessageContext("run-a", 3, "metrics", attempt=1))
    'metrics of round 3, attempt 1'
    """

    run: str
    round: int
    purpose: str = "model"
    attempt: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.round < 2**32 or not 0 <= self.attempt < 2**16:
            raise ProtectionError(f"round {self.round}, attempt {self.attempt} cannot be numbered")
        if not 0 < len(self.purpose.encode()) <= 16 or "\0" in self.purpose:
            raise ProtectionError(f"purpose '{self.purpose}' must have 1 to 16 bytes")

    def __str__(self) -> str:
        repeat = f", attempt {self.attempt}" if self.attempt else ""
        return f"{self.purpose} of round {self.round}{repeat}"


@dataclass(frozen=True)
class Expected:
    """What the reader of a frame knows beforehand; a frame that differs is refused."""

    scheme: str
    key_id: bytes
    plan_digest: bytes
    message_context: MessageContext
    kind: Kind
    max_members: int
    payload_size: int

    @property
    def binding(self) -> bytes:
        """The part of the header that is the same in every frame of this message context."""
        return _BINDING.pack(
            _MAGIC,
            _VERSION,
            self.scheme.encode(),
            self.key_id,
            self.plan_digest,
            digest(self.message_context.run.encode()),
            self.message_context.round,
            self.message_context.attempt,
            self.message_context.purpose.encode(),
        )

    @property
    def largest(self) -> int:
        """Bytes of the largest valid frame."""
        return self.size(self.max_members)

    def size(self, members: int) -> int:
        """Bytes of a frame with that many members."""
        return _BINDING.size + _REST.size + members * MEMBER_BYTES + self.payload_size


@dataclass(frozen=True)
class Frame:
    """A frame that has passed every check."""

    members: tuple[str, ...]
    terms_digest: bytes
    """Keyed digest of what the members have in common; the server compares it, a site verifies it.

    16 zero bytes without encryption.
    """
    payload: memoryview


def digest(content: bytes) -> bytes:
    """The first :data:`ID_BYTES` bytes of SHA-256."""
    return hashlib.sha256(content).digest()[:ID_BYTES]


def write(
    expected: Expected, members: Sequence[str], terms_digest: bytes, *payload: bytes | memoryview
) -> bytes:
    """The frame as bytes.

    Args:
        expected: what the reader will expect.
        members: who is in the sum; one name in a contribution.
        terms_digest: :data:`ID_BYTES` bytes.
        payload: its parts, in their order.

    Raises :class:`ProtectionError` on a name that a frame cannot hold.

    >>> context = MessageContext("run-a", 1)
    >>> expected = Expected("bfv", bytes(16), bytes(16), context, Kind.SUM, 3, payload_size=2)
    >>> blob = write(expected, ["north", "south", "west"], bytes(16), b"xy")
    >>> read(blob, expected).members
    ('north', 'south', 'west')
    """
    size = sum(memoryview(part).nbytes for part in payload)
    rest = _REST.pack(expected.kind, terms_digest, len(members), size)
    names = b"".join(member_name(member).ljust(MEMBER_BYTES, b"\0") for member in members)
    return b"".join((expected.binding, rest, names, *payload))


def read(blob: bytes, expected: Expected) -> Frame:
    """The checked frame; its payload is a view of ``blob``.

    Raises :class:`ProtectionError`, which names the first field that differs from ``expected``.
    """
    start = _BINDING.size + _REST.size
    if len(blob) < start:
        raise ProtectionError(f"{len(blob)} bytes are too few for a protected message")
    if len(blob) > expected.largest:
        raise ProtectionError(
            f"{len(blob)} bytes are too many; this plan needs at most {expected.largest}"
        )
    _check_binding(blob, expected)
    kind, terms_digest, count, payload_size = _REST.unpack_from(blob, _BINDING.size)
    if kind != expected.kind:
        raise ProtectionError(f"a {expected.kind.name.lower()} was expected, not kind {kind}")
    if not 1 <= count <= expected.max_members:
        raise ProtectionError(f"{count} members; 1 to {expected.max_members} are possible")
    if (
        payload_size != expected.payload_size
        or len(blob) != start + count * MEMBER_BYTES + payload_size
    ):
        raise ProtectionError(
            f"{len(blob)} bytes with a payload of {payload_size}; this plan has a payload of "
            f"{expected.payload_size}"
        )
    view = memoryview(blob)
    names = [bytes(view[start + i * MEMBER_BYTES :][:MEMBER_BYTES]) for i in range(count)]
    members = tuple(_read_member(name) for name in names)
    if len(set(members)) != count:
        raise ProtectionError("a member appears twice in the sum")
    return Frame(members, terms_digest, view[start + count * MEMBER_BYTES :])


def member_name(member: str) -> bytes:
    """The bytes of a member's name in a frame.

    Raises :class:`ProtectionError` unless it has 1 to :data:`MEMBER_BYTES` printable bytes.
    """
    name = member.encode()
    if not member.isprintable() or not 0 < len(name) <= MEMBER_BYTES:
        raise ProtectionError(
            f"{member!r} cannot name a member: it must have 1 to {MEMBER_BYTES} printable bytes"
        )
    return name


def _read_member(name: bytes) -> str:
    try:
        member = name.rstrip(b"\0").decode()
        member_name(member)
    except (UnicodeDecodeError, ProtectionError):
        raise ProtectionError("a member's name cannot be read") from None
    return member


def _check_binding(blob: bytes, expected: Expected) -> None:
    if blob.startswith(expected.binding):
        return
    magic, version, scheme, key_id, plan_digest, run, number, attempt, purpose = (
        _BINDING.unpack_from(blob)
    )
    if (magic, version) != (_MAGIC, _VERSION):
        raise ProtectionError("this is not a protected message of this version")
    if scheme.rstrip(b"\0") != expected.scheme.encode():
        raise ProtectionError(f"the message has a scheme other than {expected.scheme}")
    if key_id != expected.key_id:
        raise ProtectionError(
            f"the message is under key {key_id.hex()[:8]}, expected {expected.key_id.hex()[:8]}"
        )
    if plan_digest != expected.plan_digest:
        raise ProtectionError("the message was made for another model or other parameters")
    if run != digest(expected.message_context.run.encode()):
        raise ProtectionError("the message is of another run")
    actual = f"round {number}, attempt {attempt}, purpose {purpose.rstrip(bytes(1))!r}"
    raise ProtectionError(f"the message is of {actual}, expected the {expected.message_context}")
