"""A federation as its authority knows it, and the changes to it. No files here."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import get_args

from ucadi_flwr.deployment.kit.address import Address
from ucadi_flwr.deployment.kit.certificates import Identity, new_authority, new_server
from ucadi_flwr.deployment.kit.nodekeys import NodeKey
from ucadi_flwr.deployment.kit.settings import Scheme, check_new_names
from ucadi_flwr.errors import FederationError
from ucadi_flwr.protection.keys import NO_KEY, ServerContext, SiteKey


@dataclass(frozen=True)
class Site:
    """A member, and the day on which it became one."""

    node: NodeKey
    since: date


@dataclass(frozen=True)
class FormerSite:
    """A site that was revoked; only its node's public key is kept, to keep it out."""

    public: str
    since: date
    until: date


@dataclass(frozen=True, eq=False)
class Federation:
    """Who is in it, and all that they prove it with. ``key`` is None where nothing is encrypted."""

    address: Address
    authority: Identity
    server: Identity
    key: SiteKey | None
    sites: Mapping[str, Site]
    revoked: Mapping[str, FormerSite]
    former_keys: tuple[SiteKey, ...] = ()

    @property
    def context(self) -> ServerContext:
        """What the server may know of the encryption key."""
        return self.key.context if self.key else NO_KEY


def create(address: Address, names: Iterable[str], scheme: str, now: datetime) -> Federation:
    """A new federation with new keys of every kind."""
    names = list(names)
    if not names:
        raise FederationError("a federation needs sites: name each with --site")
    if scheme not in get_args(Scheme):
        raise FederationError(f"no scheme {scheme!r}; there are {', '.join(get_args(Scheme))}")
    check_new_names(names)
    authority = new_authority(now)
    return Federation(
        address=address,
        authority=authority,
        server=new_server(authority, address.host, now),
        key=None if scheme == NO_KEY.scheme else SiteKey.create(scheme),
        sites={name: Site(NodeKey.create(), now.date()) for name in names},
        revoked={},
    )


def add(federation: Federation, names: Iterable[str], now: datetime) -> Federation:
    """More sites, with the encryption key that the others have.

    Rotate as well if they must not open what was sealed with it before. The name of a revoked
    site stays taken: messages and records tell sites apart by name.
    """
    names = list(names)
    for name in names:
        if name in federation.revoked:
            until = federation.revoked[name].until
            raise FederationError(
                f"{name!r} was revoked on {until} and its name is not given again; choose another"
            )
    check_new_names(names, (*federation.sites, *federation.revoked))
    new = {name: Site(NodeKey.create(), now.date()) for name in names}
    return replace(federation, sites={**federation.sites, **new})


def revoke(federation: Federation, names: Iterable[str], now: datetime) -> Federation:
    """Fewer sites, and a new encryption key, because those that leave know the old one."""
    gone = dict.fromkeys(names)
    for name in gone:
        if name not in federation.sites:
            known = ", ".join(federation.sites)
            raise FederationError(f"there is no site {name!r} to revoke; there are {known}")
    stay = {name: site for name, site in federation.sites.items() if name not in gone}
    if not stay:
        raise FederationError("no site would be left; delete the kit instead")
    left = {
        name: FormerSite(site.node.public, site.since, now.date())
        for name, site in federation.sites.items()
        if name in gone
    }
    changed = replace(federation, sites=stay, revoked={**federation.revoked, **left})
    return rotate(changed) if federation.key else changed


def rotate(federation: Federation) -> Federation:
    """A new encryption key for all sites; the old one is kept, to open what was sealed with it."""
    old = federation.key
    if old is None:
        raise FederationError("this federation encrypts nothing; it has no encryption key")
    new = SiteKey.create(old.scheme)
    return replace(federation, key=new, former_keys=(*federation.former_keys, old))


def renew(federation: Federation, now: datetime) -> Federation:
    """A new server certificate, with a new TLS key, by the same authority."""
    server = new_server(federation.authority, federation.address.host, now)
    return replace(federation, server=server)
