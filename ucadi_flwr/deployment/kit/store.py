"""A kit's folder → the federation again, for a change: nothing missing, odd or left over."""

from pathlib import Path

from ucadi_flwr.deployment.kit import files, layout
from ucadi_flwr.deployment.kit.certificates import Identity
from ucadi_flwr.deployment.kit.federation import Federation, FormerSite, Site
from ucadi_flwr.deployment.kit.nodekeys import NodeKey, fingerprint
from ucadi_flwr.deployment.kit.render import render
from ucadi_flwr.deployment.kit.settings import Register, key_id_text, load
from ucadi_flwr.errors import FederationError
from ucadi_flwr.protection.keys import NO_KEY, SiteKey


def read(kit: Path) -> Federation:
    """The federation that :func:`render` made this kit of; expired certificates may be renewed."""
    own = kit / layout.AUTHORITY
    register = load(Register, own / layout.REGISTER)
    federation = Federation(
        address=register.address,
        authority=_identity(own, layout.AUTHORITY_CERTIFICATE, layout.AUTHORITY_KEY),
        server=_identity(kit / layout.SERVER, layout.SERVER_CERTIFICATE, layout.SERVER_KEY),
        key=_encryption_key(kit, register),
        sites={
            name: Site(_node_key(kit / name / layout.NODE_KEY, member.node_key), member.since)
            for name, member in register.sites.items()
        },
        revoked={
            name: FormerSite(_public_key(kit, name, gone.node_key), gone.since, gone.until)
            for name, gone in register.revoked.items()
        },
        former_keys=tuple(map(SiteKey.load, sorted((own / layout.FORMER_KEYS).glob("*.key")))),
    )
    _refuse_others(kit, federation)
    return federation


def _identity(folder: Path, certificate: str, key: str) -> Identity:
    pem = files.read(folder / certificate)
    return Identity.parse(pem, files.read(folder / key, private=True), str(folder / key))


def _encryption_key(kit: Path, register: Register) -> SiteKey | None:
    """The one key that all sites have."""
    if register.scheme == NO_KEY.scheme:
        return None
    keys = {name: SiteKey.load(kit / name / layout.ENCRYPTION_KEY) for name in register.sites}
    for name, key in keys.items():
        if key_id_text(key.context) != register.key_id:
            raise FederationError(
                f"{kit / name / layout.ENCRYPTION_KEY}: not the key that the register names; put "
                "the kit's own file back"
            )
    return next(iter(keys.values()))


def _node_key(path: Path, expected: str) -> NodeKey:
    node = NodeKey.parse(files.read(path, private=True), str(path))
    if node.fingerprint != expected:
        raise FederationError(f"{path}: not the key that the register names; put it back")
    return node


def _public_key(kit: Path, name: str, expected: str) -> str:
    path = kit / layout.SERVER / layout.REVOKED / f"{name}.pub"
    public = files.text(path).strip()
    if fingerprint(public, str(path)) != expected:
        raise FederationError(f"{path}: not the key that the register names; put it back")
    return public


def _refuse_others(kit: Path, federation: Federation) -> None:
    """A change replaces the whole folder: what is not of the kit would be lost with it."""
    known = render(federation)
    for path in sorted(kit.rglob("*")):
        if not path.is_dir() and path.relative_to(kit).as_posix() not in known:
            raise FederationError(f"{path}: not part of the kit; move it elsewhere first")
