"""Making a kit and changing one: all or nothing, and who must be handed what."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from ucadi_flwr.deployment.kit import federation as changes
from ucadi_flwr.deployment.kit import files, layout
from ucadi_flwr.deployment.kit.address import Address
from ucadi_flwr.deployment.kit.federation import Federation
from ucadi_flwr.deployment.kit.render import render, write
from ucadi_flwr.deployment.kit.store import read

Handover = dict[str, list[str]]
"""Party → the files in its folder that are new, changed or gone, sorted."""


def make(kit: Path, server: str, sites: Iterable[str], scheme: str) -> Federation:
    """Make a kit in a new folder."""
    federation = changes.create(Address.parse(server), sites, scheme, datetime.now(UTC))
    with files.created(kit) as stage:
        write(render(federation), stage)
    return federation


def add(kit: Path, names: Iterable[str]) -> Handover:
    """More sites."""
    return _change(kit, lambda old: changes.add(old, names, datetime.now(UTC)))


def revoke(kit: Path, names: Iterable[str]) -> Handover:
    """Fewer sites, and a new encryption key for those that stay."""
    return _change(kit, lambda old: changes.revoke(old, names, datetime.now(UTC)))


def rotate(kit: Path) -> Handover:
    """A new encryption key."""
    return _change(kit, changes.rotate)


def renew(kit: Path) -> Handover:
    """A new server certificate."""
    return _change(kit, lambda old: changes.renew(old, datetime.now(UTC)))


def _change(kit: Path, change: Callable[[Federation], Federation]) -> Handover:
    kit = files.find_kit(kit)
    with files.replaced(kit) as stage:
        changed = change(read(kit))
        write(render(changed), stage)
        return _differences(kit, stage, (layout.SERVER, *changed.sites))


def _differences(old: Path, new: Path, parties: Iterable[str]) -> Handover:
    found: Handover = {}
    for party in parties:
        before, after = _contents(old / party), _contents(new / party)
        names = sorted(n for n in before | after if before.get(n) != after.get(n))
        if names:
            found[party] = names
    return found


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
