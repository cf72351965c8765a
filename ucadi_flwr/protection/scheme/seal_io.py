"""SEAL objects ⇄ uncompressed bytes.

TenSEAL's ``sealapi`` saves to and loads from paths only. The path is an anonymous file in memory on
Linux; elsewhere a file of mode 0600 in a directory of mode 0700, which is deleted on closing. SEAL
compresses with Zstandard, which does not make ciphertexts smaller; the wire format is cut from the
uncompressed bytes (:mod:`ucadi_flwr.protection.scheme.wire_format`).
"""

import contextlib
import os
import struct
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import tenseal.sealapi as seal
import zstandard

from ucadi_flwr.errors import ProtectionError

HEADER = struct.Struct("<H B B B B H Q")
"""SEAL's header: magic, size of the header, version (two bytes), compression, 0, total bytes."""

_MAGIC, _NONE, _ZSTD = 0xA15E, 0, 2


class SealIo:
    """A private file through which SEAL objects become bytes and bytes objects, one at a time."""

    def __init__(self) -> None:
        self._folder = contextlib.ExitStack()
        if hasattr(os, "memfd_create"):
            self._fd = os.memfd_create("seal", os.MFD_CLOEXEC)
            self._path = f"/proc/self/fd/{self._fd}"
        else:
            folder = self._folder.enter_context(tempfile.TemporaryDirectory())
            self._path = str(Path(folder) / "seal")
            self._fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        os.close(self._fd)
        self._folder.close()

    def save(self, item: Any) -> bytes:
        """The object in SEAL's own form, with its header."""
        item.save(self._path)
        return os.pread(self._fd, os.fstat(self._fd).st_size, 0)

    def take(self, item: Any, limit: int) -> bytes:
        """The object's members, uncompressed and without the header.

        Args:
            item: a SEAL object.
            limit: most bytes to decompress to.

        Raises :class:`ProtectionError` where SEAL's form is not the known one.
        """
        saved = self.save(item)
        magic, size, *_, compression, _, total = HEADER.unpack_from(saved)
        if (magic, size, total) != (_MAGIC, HEADER.size, len(saved)):
            raise ProtectionError("this build of SEAL saves in an unknown form")
        body = saved[HEADER.size :]
        if compression == _NONE:
            return body
        if compression != _ZSTD:
            raise ProtectionError(
                "this build of SEAL compresses with a method other than Zstandard"
            )
        return zstandard.ZstdDecompressor().decompress(body, max_output_size=limit)

    def load(self, item: Any, context: Any, saved: bytes) -> None:
        """Load what :meth:`save` returned; SEAL checks it against the context.

        Raises :class:`ProtectionError` where SEAL refuses it.
        """
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, saved, 0)
        try:
            item.load(context, self._path)
        except (RuntimeError, ValueError, IndexError) as error:
            raise ProtectionError(f"SEAL refuses it ({error})") from None

    def put(self, item: Any, context: Any, members: bytes) -> None:
        """Load members in the form that :meth:`take` returns."""
        self.load(item, context, header(len(members)) + members)


def header(members: int) -> bytes:
    """SEAL's header, in the installed version, of that many bytes of uncompressed members."""
    return HEADER.pack(_MAGIC, HEADER.size, *_version(), _NONE, 0, HEADER.size + members)


def _version() -> tuple[int, int]:
    installed = seal.Serialization.SEALHeader()
    return installed.version_major, installed.version_minor
