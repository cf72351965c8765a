"""SEAL's files: in memory or in a private folder; an unknown form is refused."""

import os
import stat
import tempfile
from pathlib import Path

import numpy as np
import pytest

from ucadi_flwr.errors import ProtectionError
from ucadi_flwr.protection.scheme import bfv
from ucadi_flwr.protection.scheme.ciphertexts import Adder, Cipher, new_secret
from ucadi_flwr.protection.scheme.seal_io import HEADER, SealIo


class Saved:
    """A stand-in for a SEAL object; it saves the bytes that it is given."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def save(self, path: str) -> None:
        Path(path).write_bytes(self.content)


def head(magic: int = 0xA15E, size: int = 16, compression: int = 0, total: int = 19) -> bytes:
    return HEADER.pack(magic, size, 4, 3, compression, 0, total)


def test_uncompressed_members_pass() -> None:
    with SealIo() as seal_io:
        assert seal_io.take(Saved(head() + b"abc"), 3) == b"abc"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (head(magic=1) + b"abc", "saves in an unknown form"),
        (head(size=17) + b"abc", "saves in an unknown form"),
        (head(total=18) + b"abc", "saves in an unknown form"),
        (head(compression=1) + b"abc", "a method other than Zstandard"),
    ],
)
def test_other_forms_are_refused(content: bytes, message: str) -> None:
    with SealIo() as seal_io, pytest.raises(ProtectionError, match=message):
        seal_io.take(Saved(content), 3)


@pytest.mark.skipif(not hasattr(os, "memfd_create"), reason="files in memory are Linux's")
def test_the_file_in_memory_is_gone_when_closed() -> None:
    with SealIo() as seal_io:
        assert os.readlink(seal_io._path).startswith("/memfd:")  # noqa: PTH115
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(seal_io._fd)


def test_a_private_file_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delattr(os, "memfd_create", raising=False)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with SealIo() as seal_io:
        (file,) = tmp_path.glob("*/*")
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
        seal_io.save(Saved(b"secret"))
    assert not list(tmp_path.iterdir())
    cipher = Cipher(bfv.LATTICE, bfv.CoefficientEncoding(), new_secret(bfv.LATTICE))
    adder = Adder(bfv.LATTICE)
    row = np.arange(-2048, 2048).reshape(1, -1)
    adder.add(memoryview(cipher.encrypt(row)))
    adder.add(memoryview(cipher.encrypt(row)))
    assert (cipher.decrypt(memoryview(adder.result())) == 2 * row).all()
