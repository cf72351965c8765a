"""The frame around what travels: a fixed header, the names of the members, the payload.

Everything here is public, and is checked before SEAL sees a byte of the payload: magic, version,
scheme, key, plan, run, round, purpose, sender and every length. The payload's length follows from
the plan, so that no frame can ask for memory. A frame says what its sender *claims*; that the
claim is true is checked by whoever opens the sum (:mod:`ucadi_flwr.protection.mac`).
"""

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from ucadi_flwr.errors import ProtectionError

ID = 16
"""Bytes of the ids and digests in a frame."""

MEMBER = 64
"""Bytes of a member's name in a frame, UTF-8 and padded with zeros."""

_MAGIC, _VERSION = b"UCPR", 1
_BINDING = struct.Struct(f">4s B 4s {ID}s {ID}s {ID}s I H 16s")
_REST = struct.Struct(f">B {ID}s H Q")  # kind, agreement, members, bytes of payload


class Kind(IntEnum):
    """Who wrote the frame."""

    CONTRIBUTION = 1  # one site
    SUM = 2  # the server


@dataclass(frozen=True)
class MessageContext:
    """What a message is for. Nothing sealed on one message_context is good for another.

    A site seals once for an message_context; a round that is repeated is another ``attempt``.
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
        again = f", attempt {self.attempt}" if self.attempt else ""
        return f"{self.purpose} of round {self.round}{again}"


@dataclass(frozen=True)
class Expected:
    """What the reader of a frame knows beforehand; a frame that differs is refused."""

    scheme: str
    key_id: bytes
    plan: bytes
    message_context: MessageContext
    kind: Kind
    max_members: int
    payload: int

    @property
    def binding(self) -> bytes:
        """The part of the header that every frame of this message_context has in common."""
        return _BINDING.pack(
            _MAGIC,
            _VERSION,
            self.scheme.encode(),
            self.key_id,
            self.plan,
            digest(self.message_context.run.encode()),
            self.message_context.round,
            self.message_context.attempt,
            self.message_context.purpose.encode(),
        )

    @property
    def largest(self) -> int:
        """Bytes of the largest frame that can be right."""
        return self.size(self.max_members)

    def size(self, members: int) -> int:
        """Bytes of a frame that names so many members."""
        return _BINDING.size + _REST.size + members * MEMBER + self.payload


@dataclass(frozen=True)
class Frame:
    """A frame that has passed every check."""

    members: tuple[str, ...]
    agreement: bytes
    payload: memoryview


def digest(content: bytes) -> bytes:
    """The first :data:`ID` bytes of SHA-256."""
    return hashlib.sha256(content).digest()[:ID]


def write(
    expected: Expected, members: Sequence[str], agreement: bytes, *payload: bytes | memoryview
) -> bytes:
    """The frame that a reader with the same expectations takes; the payload may be in parts."""
    length = sum(memoryview(part).nbytes for part in payload)
    rest = _REST.pack(expected.kind, agreement, len(members), length)
    names = b"".join(member_name(member).ljust(MEMBER, b"\0") for member in members)
    return b"".join((expected.binding, rest, names, *payload))


def read(blob: bytes, expected: Expected) -> Frame:
    """The checked frame; raises :class:`ProtectionError` that says what does not fit."""
    start = _BINDING.size + _REST.size
    if len(blob) < start:
        raise ProtectionError(f"{len(blob)} bytes are too few for a protected message")
    if len(blob) > expected.largest:
        raise ProtectionError(
            f"{len(blob)} bytes are too many; this plan needs at most {expected.largest}"
        )
    _check_binding(blob, expected)
    kind, agreement, count, payload = _REST.unpack_from(blob, _BINDING.size)
    if kind != expected.kind:
        raise ProtectionError(f"a {expected.kind.name.lower()} was expected, not kind {kind}")
    if not 1 <= count <= expected.max_members:
        raise ProtectionError(f"{count} members; 1 to {expected.max_members} are possible")
    if payload != expected.payload or len(blob) != start + count * MEMBER + payload:
        raise ProtectionError(
            f"{len(blob)} bytes with a payload of {payload}; this plan has a payload of "
            f"{expected.payload}"
        )
    view = memoryview(blob)
    names = [bytes(view[start + i * MEMBER :][:MEMBER]) for i in range(count)]
    members = tuple(_read_member(name) for name in names)
    if len(set(members)) != count:
        raise ProtectionError("a member is in the sum twice")
    return Frame(members, agreement, view[start + count * MEMBER :])


def member_name(member: str) -> bytes:
    """A member's name as it stands in a frame; refuse what cannot stand there."""
    name = member.encode()
    if not member.isprintable() or not 0 < len(name) <= MEMBER:
        raise ProtectionError(f"'{member!r}' cannot name a member: 1 to {MEMBER} printable bytes")
    return name


def _read_member(name: bytes) -> str:
    try:
        member = name.rstrip(b"\0").decode()
        member_name(member)
    except (UnicodeDecodeError, ProtectionError):
        raise ProtectionError("a member's name is not readable") from None
    return member


def _check_binding(blob: bytes, expected: Expected) -> None:
    if blob.startswith(expected.binding):
        return
    magic, version, scheme, key_id, plan, run, number, attempt, purpose = _BINDING.unpack_from(blob)
    if (magic, version) != (_MAGIC, _VERSION):
        raise ProtectionError("this is no protected message of this version")
    if scheme.rstrip(b"\0") != expected.scheme.encode():
        raise ProtectionError(f"the message has another scheme than {expected.scheme}")
    if key_id != expected.key_id:
        raise ProtectionError(
            f"the message is under key {key_id.hex()[:8]}, expected {expected.key_id.hex()[:8]}"
        )
    if plan != expected.plan:
        raise ProtectionError("the message was made for another model or other parameters")
    if run != digest(expected.message_context.run.encode()):
        raise ProtectionError("the message is of another run")
    found = f"round {number}, attempt {attempt}, purpose {purpose.rstrip(bytes(1))!r}"
    raise ProtectionError(f"the message is of {found}, expected the {expected.message_context}")
