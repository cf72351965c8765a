"""A kit's folder → the federation, before a change: every file present, valid and expected."""

from pathlib import Path

from ucadi_flwr.deployment.kit import file_names, files
from ucadi_flwr.deployment.kit.certificates import CertifiedKey
from ucadi_flwr.deployment.kit.federation import Federation, FormerMember, SiteMember
from ucadi_flwr.deployment.kit.node_keys import NodeKey, fingerprint
from ucadi_flwr.deployment.kit.render import render
from ucadi_flwr.deployment.kit.settings import Register, key_id_text, load
from ucadi_flwr.errors import FederationError
from ucadi_flwr.protection.keys import NO_KEY, SiteKey


def read(kit: Path) -> Federation:
    """The federation that :func:`render` made this kit from.

    Certificates may have expired, so that they can be renewed.

    Raises :class:`FederationError` or :class:`ProtectionError` where a file is missing, damaged,
    another one than the register names, or not part of the kit.
    """
    authority = kit / file_names.AUTHORITY
    register = load(Register, authority / file_names.REGISTER)
    federation = Federation(
        address=register.address,
        authority=_certified_key(
            authority, file_names.AUTHORITY_CERTIFICATE, file_names.AUTHORITY_KEY
        ),
        server=_certified_key(
            kit / file_names.SERVER, file_names.SERVER_CERTIFICATE, file_names.SERVER_KEY
        ),
        key=_encryption_key(kit, register),
        sites={
            name: SiteMember(
                _node_key(kit / name / file_names.NODE_KEY, entry.node_key), entry.since
            )
            for name, entry in register.sites.items()
        },
        revoked={
            name: FormerMember(_public_key(kit, name, entry.node_key), entry.since, entry.until)
            for name, entry in register.revoked.items()
        },
        former_keys=tuple(
            map(SiteKey.load, sorted((authority / file_names.FORMER_KEYS).glob("*.key")))
        ),
    )
    _refuse_foreign_files(kit, federation)
    return federation


def _certified_key(folder: Path, certificate: str, key: str) -> CertifiedKey:
    pem = files.read(folder / certificate)
    return CertifiedKey.parse(pem, files.read(folder / key, private=True), str(folder / key))


def _encryption_key(kit: Path, register: Register) -> SiteKey | None:
    """The encryption key that all sites share."""
    if register.scheme == NO_KEY.scheme:
        return None
    keys = {name: SiteKey.load(kit / name / file_names.ENCRYPTION_KEY) for name in register.sites}
    for name, key in keys.items():
        if key_id_text(key.context) != register.key_id:
            raise FederationError(
                f"{kit / name / file_names.ENCRYPTION_KEY}: not the key that the register names; "
                "put the kit's own file back"
            )
    return next(iter(keys.values()))


def _node_key(path: Path, expected: str) -> NodeKey:
    node = NodeKey.parse(files.read(path, private=True), str(path))
    if node.fingerprint != expected:
        raise FederationError(f"{path}: not the key that the register names; put it back")
    return node


def _public_key(kit: Path, name: str, expected: str) -> str:
    path = kit / file_names.SERVER / file_names.REVOKED / f"{name}.pub"
    public = files.read_text(path).strip()
    if fingerprint(public, str(path)) != expected:
        raise FederationError(f"{path}: not the key that the register names; put it back")
    return public


def _refuse_foreign_files(kit: Path, federation: Federation) -> None:
    """A change replaces the whole folder: a file that is not part of the kit would be lost."""
    rendered = render(federation)
    for path in sorted(kit.rglob("*")):
        if not path.is_dir() and path.relative_to(kit).as_posix() not in rendered:
            raise FederationError(f"{path}: not part of the kit; move it elsewhere first")
