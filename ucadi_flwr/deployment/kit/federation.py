"""A federation as its authority knows it, and the changes to it: pure functions, no files."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import get_args

from ucadi_flwr.deployment.kit.address import Address
from ucadi_flwr.deployment.kit.certificates import CertifiedKey, new_authority, new_server
from ucadi_flwr.deployment.kit.node_keys import NodeKey
from ucadi_flwr.deployment.kit.settings import SchemeName, check_new_names
from ucadi_flwr.errors import FederationError
from ucadi_flwr.protection.keys import NO_KEY, ServerContext, SiteKey


@dataclass(frozen=True)
class SiteMember:
    """A site of the federation, and the day on which it joined."""

    node: NodeKey
    since: date


@dataclass(frozen=True)
class FormerMember:
    """A site that was revoked; its node's public key is kept, so that the server can refuse it."""

    public: str
    since: date
    until: date


@dataclass(frozen=True, eq=False)
class Federation:
    """The members and every key of a federation: the authority's view, which no other party has.

    Args:
        address: where sites reach the server.
        authority: the certificate authority.
        server: the server's certificate and TLS key.
        key: the encryption key of all sites; None where nothing is encrypted.
        sites: name → member.
        revoked: name → former member.
        former_keys: encryption keys that were replaced, in no particular order.
    """

    address: Address
    authority: CertifiedKey
    server: CertifiedKey
    key: SiteKey | None
    sites: Mapping[str, SiteMember]
    revoked: Mapping[str, FormerMember]
    former_keys: tuple[SiteKey, ...] = ()

    @property
    def context(self) -> ServerContext:
        """The scheme and id of the encryption key, for the server."""
        return self.key.context if self.key else NO_KEY


def create(address: Address, names: Iterable[str], scheme: str, now: datetime) -> Federation:
    """A new federation with new keys of every kind.

    Args:
        address: where sites reach the server.
        names: of the sites.
        scheme: ``bfv``, ``ckks`` or ``none``.
        now: the time, with its time zone.

    Raises :class:`FederationError` on no sites, names that cannot be used, or another scheme.
    """
    names = list(names)
    if not names:
        raise FederationError("a federation needs sites: name each with --site")
    if scheme not in get_args(SchemeName):
        raise FederationError(f"no scheme {scheme!r}; there are {', '.join(get_args(SchemeName))}")
    check_new_names(names)
    authority = new_authority(now)
    return Federation(
        address=address,
        authority=authority,
        server=new_server(authority, address.host, now),
        key=None if scheme == NO_KEY.scheme else SiteKey.create(scheme),
        sites={name: SiteMember(NodeKey.create(), now.date()) for name in names},
        revoked={},
    )


def add(federation: Federation, names: Iterable[str], now: datetime) -> Federation:
    """Add sites, with the encryption key that the others have.

    They can open what was sealed under it before; rotate as well if they must not. The name of a
    revoked site cannot be used again, because messages and records identify sites by name.

    Raises :class:`FederationError` on a name that is or was in use, or cannot be used.
    """
    names = list(names)
    for name in names:
        if name in federation.revoked:
            until = federation.revoked[name].until
            raise FederationError(
                f"{name!r} was revoked on {until} and its name cannot be used again; choose another"
            )
    check_new_names(names, (*federation.sites, *federation.revoked))
    new = {name: SiteMember(NodeKey.create(), now.date()) for name in names}
    return replace(federation, sites={**federation.sites, **new})


def revoke(federation: Federation, names: Iterable[str], now: datetime) -> Federation:
    """Remove sites, and replace the encryption key, because those that leave hold the old one.

    Raises :class:`FederationError` on an unknown name, or where no site would be left.
    """
    gone = dict.fromkeys(names)
    for name in gone:
        if name not in federation.sites:
            sites = ", ".join(federation.sites)
            raise FederationError(f"there is no site {name!r} to revoke; the sites are {sites}")
    stay = {name: site for name, site in federation.sites.items() if name not in gone}
    if not stay:
        raise FederationError("no site would be left; delete the kit instead")
    left = {
        name: FormerMember(site.node.public, site.since, now.date())
        for name, site in federation.sites.items()
        if name in gone
    }
    changed = replace(federation, sites=stay, revoked={**federation.revoked, **left})
    return rotate(changed) if federation.key else changed


def rotate(federation: Federation) -> Federation:
    """Replace the encryption key; the old one is kept, to open what was sealed under it.

    Raises :class:`FederationError` where nothing is encrypted.
    """
    old = federation.key
    if old is None:
        raise FederationError("this federation encrypts nothing; it has no encryption key")
    new = SiteKey.create(old.scheme)
    return replace(federation, key=new, former_keys=(*federation.former_keys, old))


def renew(federation: Federation, now: datetime) -> Federation:
    """Replace the server's certificate and TLS key, under the same authority.

    Raises :class:`FederationError` where the authority has expired.
    """
    server = new_server(federation.authority, federation.address.host, now)
    return replace(federation, server=server)
