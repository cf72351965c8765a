"""Which node is which site. Flower lists nodes by numbers only, so the server writes it down."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ucadi_flwr.deployment.kit import files
from ucadi_flwr.deployment.kit.kits import ServerKit
from ucadi_flwr.deployment.kit.node_keys import fingerprint
from ucadi_flwr.errors import FederationError
from ucadi_flwr.files.atomic import replacing


@dataclass(frozen=True)
class Entry:
    """A site, and the number that Flower gave its node."""

    site: str
    node: str


Roster = dict[str, Entry]
"""Fingerprint of a node's public key → who it is."""


def kit_keys(kit: ServerKit) -> dict[str, str]:
    """Fingerprint → site, of all that may join."""
    return {
        fingerprint(files.read_text(path), str(path)): site for site, path in kit.node_keys.items()
    }


def joining(keys: Mapping[str, str], roster: Roster) -> list[str]:
    """The sites whose nodes Flower does not know yet."""
    return [site for key, site in keys.items() if key not in roster]


def leaving(keys: Mapping[str, str], roster: Roster) -> list[str]:
    """The fingerprints of nodes that Flower knows and the kit does not (any more)."""
    return [key for key in roster if key not in keys]


def load(path: Path) -> Roster:
    """Read; empty if there is none yet."""
    if not path.exists():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))["nodes"]
        return {str(k): Entry(str(v["site"]), str(v["node"])) for k, v in found.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise FederationError(
            f"{path}: damaged; move the whole state folder away and start again"
        ) from None


def save(path: Path, roster: Roster) -> None:
    """Write, atomically."""
    nodes = {key: {"site": entry.site, "node": entry.node} for key, entry in roster.items()}
    with replacing(path) as partial:
        partial.write_text(json.dumps({"schema_version": 1, "nodes": nodes}, indent=2) + "\n")
