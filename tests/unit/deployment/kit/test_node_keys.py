"""Node keys, compared with OpenSSH's own tool where it is installed."""

import shutil
import subprocess
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from ucadi_flwr.deployment.kit.node_keys import NodeKey, fingerprint
from ucadi_flwr.errors import FederationError


def test_a_key_is_read_back_from_its_file() -> None:
    key = NodeKey.create()
    again = NodeKey.parse(key.private, "here")
    assert (again.public, again.fingerprint) == (key.public, key.fingerprint)
    assert key.private.startswith(b"-----BEGIN OPENSSH PRIVATE KEY-----")
    assert key.public.startswith("ecdsa-sha2-nistp384 ")
    assert NodeKey.create().public != key.public


def test_a_key_hides_its_secret() -> None:
    key = NodeKey.create()
    assert key.private.splitlines()[2].decode() not in repr(key)
    assert key.public in repr(key)


@pytest.mark.skipif(not shutil.which("ssh-keygen"), reason="needs OpenSSH")
def test_openssh_agrees(tmp_path: Path) -> None:
    key, file = NodeKey.create(), tmp_path / "node.key"
    file.write_bytes(key.private)
    file.chmod(0o600)
    for options, expected in (
        (["-y"], key.public),
        (["-l"], f"384 {key.fingerprint} "),
    ):
        printed = subprocess.run(
            ["ssh-keygen", *options, "-f", str(file)], capture_output=True, text=True, check=True
        )
        assert printed.stdout.startswith(expected)


def test_other_keys_are_refused() -> None:
    ssh = (Encoding.PEM, PrivateFormat.OpenSSH, NoEncryption())
    small, edwards = ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()
    pem = ec.generate_private_key(ec.SECP384R1()).private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
    )
    for private, message in (
        (small.private_bytes(*ssh), "P-384"),
        (edwards.private_bytes(*ssh), "P-384"),
        (pem, "OpenSSH"),
        (NodeKey.create().private[:200], "OpenSSH"),
        (b"", "OpenSSH"),
    ):
        with pytest.raises(FederationError, match=f"^here: .*{message}") as refused:
            NodeKey.parse(private, "here")
        assert refused.value.__cause__ is None
    for key in (small, edwards):
        public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
        with pytest.raises(FederationError, match="P-384"):
            fingerprint(public, "here")
    for public in ("", "ecdsa-sha2-nistp384 AAAA", "ssh", "ключ"):
        with pytest.raises(FederationError, match="here: this is not a public key"):
            fingerprint(public, "here")
