"""A party's folder of the kit, opened and checked before anything starts."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from ucadi_flwr.deployment.kit import file_names, files
from ucadi_flwr.deployment.kit.address import Address
from ucadi_flwr.deployment.kit.certificates import (
    CertifiedKey,
    check_authority,
    check_server,
    digest,
    parse_certificate,
)
from ucadi_flwr.deployment.kit.node_keys import NodeKey, fingerprint
from ucadi_flwr.deployment.kit.settings import ServerKitSettings, SiteKitSettings, key_id_text, load
from ucadi_flwr.errors import FederationError
from ucadi_flwr.protection.keys import NO_KEY, ServerContext, SiteKey

_SECRETS = (b"PRIVATE KEY-----", b'"site key: secret"')
"""Marks of a private key in PEM or OpenSSH's format, and of a site's encryption key."""


@dataclass(frozen=True)
class ServerKit:
    """The server's folder: its files belong together and are valid now.

    Args:
        folder: absolute path.
        address: where sites reach the server.
        context: scheme and id of the encryption key; the key itself is never here.
        expires: when the server's certificate expires.
        node_keys: site → the file of its node's public key, for Flower to register.
        revoked: site that left → the file of its node's public key, for Flower to refuse.
    """

    folder: Path
    address: Address
    context: ServerContext
    expires: datetime
    node_keys: dict[str, Path]
    revoked: dict[str, Path]

    @classmethod
    def load(cls, folder: Path, now: datetime | None = None) -> "ServerKit":
        """Open and check the folder.

        Args:
            folder: the server's folder of the kit.
            now: the time, with its time zone; the clock's if None.

        Raises :class:`FederationError` or :class:`ProtectionError` on a file that is missing,
        damaged, expired or of another hand-over, and on any secret key but the server's own.
        """
        folder, now = folder.resolve(), now or datetime.now(UTC)
        settings = load(ServerKitSettings, folder / file_names.SETTINGS)
        _refuse_secrets(folder)
        authority_file = folder / file_names.AUTHORITY_CERTIFICATE
        authority = parse_certificate(files.read(authority_file), str(authority_file))
        check_authority(authority, now, str(authority_file))
        path = folder / file_names.SERVER_CERTIFICATE
        secret = files.read(folder / file_names.SERVER_KEY, private=True)
        server = CertifiedKey.parse(files.read(path), secret, str(folder / file_names.SERVER_KEY))
        check_server(server.certificate, authority, settings.address.host, now, str(path))
        return cls(
            folder=folder,
            address=settings.address,
            context=_context(folder / file_names.SERVER_CONTEXT, settings),
            expires=server.expires,
            node_keys=_node_keys(folder / file_names.NODE_KEYS, settings),
            revoked=_revoked(folder / file_names.REVOKED),
        )

    @property
    def authority(self) -> Path:
        """Flower's ``--ssl-ca-certfile``."""
        return self.folder / file_names.AUTHORITY_CERTIFICATE

    @property
    def certificate(self) -> Path:
        """Flower's ``--ssl-certfile``."""
        return self.folder / file_names.SERVER_CERTIFICATE

    @property
    def key(self) -> Path:
        """Flower's ``--ssl-keyfile``; secret."""
        return self.folder / file_names.SERVER_KEY


@dataclass(frozen=True)
class SiteKit:
    """A site's folder: its files belong together and are valid now.

    Args:
        folder: absolute path.
        name: of the site.
        address: where it reaches the server.
        key: the encryption key of all sites; None where nothing is encrypted.
    """

    folder: Path
    name: str
    address: Address
    key: SiteKey | None

    @classmethod
    def load(cls, folder: Path, now: datetime | None = None) -> "SiteKit":
        """Open and check the folder.

        Args:
            folder: the site's folder of the kit.
            now: the time, with its time zone; the clock's if None.

        Raises :class:`FederationError` or :class:`ProtectionError` on a file that is missing,
        damaged, expired or of another hand-over, and on a secret that others may read.
        """
        folder, now = folder.resolve(), now or datetime.now(UTC)
        settings = load(SiteKitSettings, folder / file_names.SETTINGS)
        path = folder / file_names.AUTHORITY_CERTIFICATE
        authority = parse_certificate(files.read(path), str(path))
        check_authority(authority, now, str(path))
        if digest(authority) != settings.authority:
            raise _mixed(path)
        path = folder / file_names.NODE_KEY
        node = NodeKey.parse(files.read(path, private=True), str(path))
        if node.fingerprint != settings.node_key:
            raise _mixed(path)
        key = _encryption_key(folder / file_names.ENCRYPTION_KEY, settings)
        return cls(folder, settings.site, settings.address, key)

    @property
    def authority(self) -> Path:
        """Flower's ``--root-certificates``."""
        return self.folder / file_names.AUTHORITY_CERTIFICATE

    @property
    def node_key(self) -> Path:
        """Flower's ``--auth-supernode-private-key``; secret."""
        return self.folder / file_names.NODE_KEY


def _context(path: Path, settings: ServerKitSettings) -> ServerContext:
    if settings.scheme == NO_KEY.scheme:
        return NO_KEY
    context = ServerContext.load(path)
    if (context.scheme, key_id_text(context)) != (settings.scheme, settings.key_id):
        raise _mixed(path)
    return context


def _encryption_key(path: Path, settings: SiteKitSettings) -> SiteKey | None:
    if settings.scheme == NO_KEY.scheme:
        return None
    key = SiteKey.load(path)
    if (key.scheme, key_id_text(key.context)) != (settings.scheme, settings.key_id):
        raise _mixed(path)
    return key


def _node_keys(folder: Path, settings: ServerKitSettings) -> dict[str, Path]:
    keys = {name: folder / f"{name}.pub" for name in settings.sites}
    for path in sorted({*folder.glob("*.pub"), *keys.values()}):
        expected = settings.sites.get(path.stem)
        if expected is None:
            raise FederationError(f"{path}: not a site in settings.json; ask for the kit again")
        if fingerprint(files.read_text(path), str(path)) != expected:
            raise _mixed(path)
    return keys


def _revoked(folder: Path) -> dict[str, Path]:
    keys = {path.stem: path for path in sorted(folder.glob("*.pub"))}
    for path in keys.values():
        fingerprint(files.read_text(path), str(path))
    return keys


def _refuse_secrets(folder: Path) -> None:
    for path in _files(folder):
        start = files.read_start(path)
        if any(sign in start for sign in _SECRETS):
            raise FederationError(
                f"{path}: a secret key that the server must not have; delete it here, and have "
                "the kit's owner replace that key"
            )


def _files(folder: Path) -> Iterator[Path]:
    """Every file except the server's own private key."""
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path != folder / file_names.SERVER_KEY:
            yield path


def _mixed(path: Path) -> FederationError:
    return FederationError(
        f"{path}: not the file that settings.json was made with; take the whole folder from the "
        "last hand-over"
    )
