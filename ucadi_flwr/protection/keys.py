"""Keys: a site's secret key, and the context that the server may have.

**Who holds what.** All sites of a run hold the same secret key. The server holds a
:class:`ServerContext`, which names the scheme and the key and contains no key. A key is made at one
site, handed to the others out of band, and replaced for every run and whenever a site joins or
leaves. It comes from the operating system's randomness (SEAL's default), is stored in a file of
mode 0600, and is in no repr, pickle, message, log or checkpoint.

The key id is a hash that binds the key. (SEAL's ``parms_id`` does not bind it: it depends on the
parameters only.)
"""

import base64
import binascii
import json
import os
import stat
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NoReturn

from ucadi_flwr.errors import ProtectionError
from ucadi_flwr.files import atomic
from ucadi_flwr.limits import KEY_FILE_BYTES
from ucadi_flwr.protection.frame import ID_BYTES
from ucadi_flwr.protection.kdf import derive
from ucadi_flwr.protection.scheme.ciphertexts import new_secret
from ucadi_flwr.protection.scheme.schemes import scheme

_SITE_KEY, _CONTEXT = "site key: secret", "server context"


@dataclass(frozen=True)
class ServerContext:
    """What the server knows of a key: its scheme and its id. It can open nothing with it.

    Args:
        scheme: ``bfv``, ``ckks``, or ``none`` for :data:`NO_KEY`.
        key_id: 16 bytes (:attr:`SiteKey.key_id`).
    """

    scheme: str
    key_id: bytes

    def save(self, path: Path) -> None:
        """Write a new file of under 200 bytes that anybody may read (mode 0644).

        Raises :class:`ProtectionError` where the file exists or cannot be written.
        """
        _write(path, 0o644, {"ucadi": _CONTEXT, **self.describe()})

    @classmethod
    def load(cls, path: Path) -> "ServerContext":
        """Read the file.

        Raises :class:`ProtectionError` where it is damaged, or is a site's secret key, which a
        server must not hold.
        """
        content = _read(path)
        if content.get("ucadi") == _SITE_KEY:
            raise ProtectionError(
                f"{path}: this is a site's secret key; a server must never hold one, delete it "
                "here and give the server its server context"
            )
        if content.get("ucadi") != _CONTEXT:
            raise ProtectionError(f"{path}: this is not a server context")
        name = _text(path, content, "scheme")
        scheme(name)
        key_id = _text(path, content, "key-id")
        if len(key_id) != 2 * ID_BYTES or not set(key_id) <= set("0123456789abcdef"):
            raise ProtectionError(f"{path}: the key id is not {2 * ID_BYTES} hexadecimal digits")
        return cls(name, bytes.fromhex(key_id))

    def describe(self) -> dict[str, str]:
        """The scheme and the key id, for users and files."""
        return {"scheme": self.scheme, "key-id": self.key_id.hex()}


NO_KEY = ServerContext("none", bytes(ID_BYTES))
"""The context of ``protection: none``."""


@dataclass(frozen=True, eq=False)
class SiteKey:
    """The secret key that all sites of a run share. It cannot be pickled or copied.

    Args:
        scheme: ``bfv`` (192 bits of security) or ``ckks`` (128 bits).
        created: when, ISO 8601 with its time zone.
        secret: the secret key in SEAL's form.
    """

    scheme: str
    created: str
    secret: bytes = field(repr=False)

    @classmethod
    def create(cls, name: str) -> "SiteKey":
        """A new key from the operating system's randomness.

        Raises :class:`ProtectionError` unless ``name`` is a scheme that encrypts.

        >>> key = SiteKey.create("bfv")
        >>> key.context.scheme, len(key.key_id)
        ('bfv', 16)
        """
        created = datetime.now(UTC).isoformat(timespec="seconds")
        return cls(name, created, new_secret(scheme(name).lattice))

    @property
    def key_id(self) -> bytes:
        """16 bytes that bind the key and its scheme, and do not disclose it."""
        return derive(self.secret, "key id", self.scheme.encode(), size=ID_BYTES)

    @property
    def context(self) -> ServerContext:
        """What the server may have."""
        return ServerContext(self.scheme, self.key_id)

    def derived(self, label: str) -> bytes:
        """32 secret bytes for one purpose other than homomorphic encryption."""
        return derive(self.secret, label, size=32)

    def save(self, path: Path) -> None:
        """Write a new file of mode 0600.

        Raises :class:`ProtectionError` where the file exists or cannot be written.
        """
        secret = base64.b64encode(self.secret).decode()
        content = {"ucadi": _SITE_KEY, **self.describe(), "secret": secret}
        _write(path, 0o600, content)

    @classmethod
    def load(cls, path: Path) -> "SiteKey":
        """Read the file.

        Raises :class:`ProtectionError` where others may read or change it, or it is damaged.
        """
        content = _read(path, private=True)
        if content.get("ucadi") != _SITE_KEY:
            raise ProtectionError(f"{path}: this is not a site key")
        try:
            secret = base64.b64decode(_text(path, content, "secret"), validate=True)
        except (binascii.Error, ValueError):
            raise ProtectionError(f"{path}: the secret is damaged") from None
        name = _text(path, content, "scheme")
        scheme(name)
        key = cls(name, _text(path, content, "created"), secret)
        if key.key_id.hex() != _text(path, content, "key-id"):
            raise ProtectionError(f"{path}: the key does not match its id; the file is damaged")
        return key

    @classmethod
    def rotate(cls, path: Path) -> "SiteKey":
        """Replace the file by a new key of the same scheme, and return it.

        The old key stays beside it, under a name with its id, to open what was sealed with it.
        """
        old = cls.load(path)
        new = cls.create(old.scheme)
        fresh = path.with_name(f"{path.stem}.{new.key_id.hex()[:8]}{path.suffix}")
        new.save(fresh)
        atomic.rename(path, path.with_name(f"{path.stem}.{old.key_id.hex()[:8]}{path.suffix}"))
        atomic.rename(fresh, path)
        return new

    def describe(self) -> dict[str, str]:
        """The scheme, the key id and the date, for users and files: no secret."""
        return {**self.context.describe(), "created": self.created}

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret key is not pickled or copied; load it from its file")


def _write(path: Path, mode: int, content: dict[str, str]) -> None:
    try:
        atomic.create(path, (json.dumps(content, indent=1) + "\n").encode(), mode=mode)
    except FileExistsError:
        raise ProtectionError(f"{path} exists already; it is not overwritten") from None
    except OSError as error:
        raise ProtectionError(f"{path} cannot be written: {error.strerror}") from None


def _read(path: Path, *, private: bool = False) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            if private and os.name == "posix" and mode & (stat.S_IRWXG | stat.S_IRWXO):
                raise ProtectionError(
                    f"{path}: others may read or change it (mode {stat.S_IMODE(mode):04o}); run "
                    f"chmod 600 on it, and rotate the key if somebody did"
                )
            content = json.loads(file.read(KEY_FILE_BYTES))
    except OSError as error:
        raise ProtectionError(f"{path} cannot be read: {error.strerror}") from None
    except ValueError:  # neither JSON nor UTF-8
        raise ProtectionError(f"{path} is not a key file") from None
    if not isinstance(content, dict):
        raise ProtectionError(f"{path} is not a key file")
    return content


def _text(path: Path, content: dict[str, Any], name: str) -> str:
    value = content.get(name)
    if not isinstance(value, str):
        raise ProtectionError(f"{path}: '{name}' is missing")
    return value
