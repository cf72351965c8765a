"""Make a kit or change one: completely or not at all. A change returns what to hand out again."""

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path

from ucadi_flwr.deployment.kit import federation as changes
from ucadi_flwr.deployment.kit import file_names, files
from ucadi_flwr.deployment.kit.address import Address
from ucadi_flwr.deployment.kit.federation import Federation
from ucadi_flwr.deployment.kit.render import render, write
from ucadi_flwr.deployment.kit.store import read

Handover = dict[str, list[str]]
"""Party → the files in its folder that are new, changed or removed, sorted."""


def make(kit: Path, server: str, sites: Iterable[str], scheme: str) -> Federation:
    """Make a kit in a new folder.

    Args:
        kit: the folder; it must not exist.
        server: HOST:PORT at which sites reach the server.
        sites: their names.
        scheme: ``bfv``, ``ckks`` or ``none``.

    Raises :class:`FederationError` and leaves no folder where any of it cannot be used.
    """
    federation = changes.create(Address.parse(server), sites, scheme, datetime.now(UTC))
    with files.new_kit(kit) as stage:
        write(render(federation), stage)
    return federation


def add(kit: Path, names: Iterable[str]) -> Handover:
    """Add sites; they get the encryption key that the others have."""
    return _change(kit, lambda old: changes.add(old, names, datetime.now(UTC)))


def revoke(kit: Path, names: Iterable[str]) -> Handover:
    """Remove sites, and make a new encryption key for those that stay."""
    return _change(kit, lambda old: changes.revoke(old, names, datetime.now(UTC)))


def rotate(kit: Path) -> Handover:
    """Replace the encryption key."""
    return _change(kit, changes.rotate)


def renew(kit: Path) -> Handover:
    """Replace the server's certificate."""
    return _change(kit, lambda old: changes.renew(old, datetime.now(UTC)))


def _change(kit: Path, change: Callable[[Federation], Federation]) -> Handover:
    kit = files.find_kit(kit)
    with files.changed_kit(kit) as stage:
        changed = change(read(kit))
        write(render(changed), stage)
        return _differences(kit, stage, (file_names.SERVER, *changed.sites))


def _differences(old: Path, new: Path, parties: Iterable[str]) -> Handover:
    handover: Handover = {}
    for party in parties:
        before, after = _contents(old / party), _contents(new / party)
        names = sorted(n for n in before | after if before.get(n) != after.get(n))
        if names:
            handover[party] = names
    return handover


def _contents(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }
