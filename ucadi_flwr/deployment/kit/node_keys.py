"""The key that authenticates a site's node to Flower's SuperLink: ECDSA on P-384 (192 bits).

Each site holds its own private key; the server and the authority hold the public keys.
"""

import base64
import hashlib
from dataclasses import dataclass, field

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_ssh_private_key,
    load_ssh_public_key,
)

from ucadi_flwr.errors import FederationError


@dataclass(frozen=True, eq=False)
class NodeKey:
    """A private key in OpenSSH's format, and its public key as one line."""

    private: bytes = field(repr=False)
    public: str

    @classmethod
    def create(cls) -> "NodeKey":
        """A new key, from the operating system's randomness."""
        return cls._of(ec.generate_private_key(ec.SECP384R1()))

    @classmethod
    def parse(cls, private: bytes, where: str) -> "NodeKey":
        """Read a private key.

        Args:
            private: the key in OpenSSH's format, not encrypted.
            where: the file that an error names.

        Raises :class:`FederationError` on another format or curve.
        """
        try:
            key = load_ssh_private_key(private, None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise FederationError(
                f"{where}: this is not a private key in OpenSSH's format"
            ) from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp384r1":
            raise FederationError(f"{where}: a node's key must be ECDSA on P-384")
        return cls(private, cls._of(key).public)

    @property
    def fingerprint(self) -> str:
        """SHA-256 of the public key, as ``ssh-keygen -l`` prints it."""
        return fingerprint(self.public, "node key")

    @classmethod
    def _of(cls, key: ec.EllipticCurvePrivateKey) -> "NodeKey":
        private = key.private_bytes(Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
        public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
        return cls(private, public.decode("ascii"))


def fingerprint(public: str, where: str) -> str:
    """SHA-256 of a public key, as ``ssh-keygen -l`` prints it.

    Args:
        public: the key as one line in OpenSSH's format.
        where: the file that an error names.

    Raises :class:`FederationError` on another format or curve.
    """
    try:
        key = load_ssh_public_key(public.encode())
    except (ValueError, UnsupportedAlgorithm):
        raise FederationError(f"{where}: this is not a public key in OpenSSH's format") from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name != "secp384r1":
        raise FederationError(f"{where}: a node's key must be ECDSA on P-384")
    digest = hashlib.sha256(base64.b64decode(public.split()[1])).digest()
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"
