"""``flwr`` as the server's operator runs it: the nodes and runs of one SuperLink."""

import json
import subprocess  # fixed commands of this environment, no shell
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ucadi_flwr.deployment.state_folder import State
from ucadi_flwr.errors import FederationError
from ucadi_flwr.processes.children import flower_environment

CONNECTION = "kit"
"""Name of the SuperLink in ``config.toml``, which every ``flwr`` command takes."""

FLWR_SECONDS = 120.0
"""How long one ``flwr`` command may take."""

_KEY_IN_USE = "[code: 23]"


@dataclass(frozen=True)
class Node:
    """A SuperNode as ``flwr supernode list`` shows it; times as Flower writes them."""

    node: str
    status: str
    online_at: str
    offline_at: str


class Control:
    """The SuperLink that ``config.toml`` in a state folder names.

    Every method that runs ``flwr`` raises :class:`FederationError` if no server was started with
    this state, if ``flwr`` does not answer in time, or if the SuperLink refuses.
    """

    def __init__(self, state: State) -> None:
        self._state = state

    @property
    def connected(self) -> bool:
        """Whether a server was ever started with this state."""
        return self._config.is_file()

    def connect(self, address: str, authority: Path) -> None:
        """Write ``config.toml``: the SuperLink's address and its authority's certificate."""
        text = (
            f"[superlink.{CONNECTION}]\naddress = {json.dumps(address)}\n"
            f"root-certificates = {json.dumps(str(authority), ensure_ascii=False)}\n"
        )
        self._config.write_text(text, encoding="utf-8")

    def nodes(self) -> dict[str, Node]:
        """Node id → node, of all that are or were registered."""
        return parse_nodes(self._flwr("supernode", "list", CONNECTION))

    def register(self, site: str, public: Path) -> str:
        """Register the node that has this public key under the site's name; the node's id."""
        reply = self._flwr("supernode", "register", "--name", site, str(public), CONNECTION)
        return parse_node_id(reply, public)

    def unregister(self, node: str) -> None:
        """Refuse a node from now on; Flower does not register the same key again."""
        require_success(self._flwr("supernode", "unregister", node, CONNECTION))

    def stop_run(self, run: str) -> None:
        """End a run early."""
        require_success(self._flwr("stop", run, CONNECTION))

    @property
    def _config(self) -> Path:
        return self._state.flower / "config.toml"

    def _flwr(self, *words: str) -> str:
        if not self.connected:
            raise FederationError(
                f"{self._state.folder}: no server was started with this state; run ucadi server, "
                "or name its --state"
            )
        try:
            done = subprocess.run(  # noqa: S603 - a fixed command
                ["flwr", *words, "--format", "json"],  # noqa: S607 - of this environment
                env=flower_environment(self._state.flower),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=FLWR_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise FederationError(
                f"flwr {words[0]}: no answer within {FLWR_SECONDS:.0f} s"
            ) from None
        return done.stdout or json.dumps({"success": False, "error-message": done.stderr})


def parse_reply(text: str) -> dict[str, Any]:
    """The JSON object that ``flwr … --format json`` printed; its exit status is 0 even on errors.

    Raises :class:`FederationError` if ``text`` is not a JSON object.
    """
    try:
        reply = json.loads(text)
    except ValueError:
        reply = None
    if not isinstance(reply, dict):
        raise FederationError(f"flwr printed no JSON object: {text.strip()[:200]!r}")
    return reply


def require_success(text: str) -> dict[str, Any]:
    """:func:`parse_reply` of a reply that says success; else :class:`FederationError`."""
    reply = parse_reply(text)
    if reply.get("success") is not True:
        reason = " ".join(str(reply.get("error-message") or "no reason given").split())
        raise FederationError(f"Flower refused: {reason[:300]}")
    return reply


def parse_nodes(text: str) -> dict[str, Node]:
    """The reply of ``flwr supernode list`` → node id → node.

    >>> parse_nodes('{"success": true, "nodes": [{"node-id": "7", "status": "registered"}]}')
    {'7': Node(node='7', status='registered', online_at='', offline_at='')}
    """
    nodes = require_success(text).get("nodes")
    if not isinstance(nodes, list) or not all(isinstance(node, dict) for node in nodes):
        raise FederationError("flwr supernode list answered without a list of nodes")
    return {
        str(node.get("node-id", "")): Node(
            node=str(node.get("node-id", "")),
            status=str(node.get("status", "unknown")),
            online_at=_time(node.get("online-at")),
            offline_at=_time(node.get("offline-at")),
        )
        for node in nodes
    }


def parse_node_id(text: str, public: Path) -> str:
    """The reply of ``flwr supernode register`` for the key in ``public`` → the node's id."""
    if _KEY_IN_USE in str(parse_reply(text).get("error-message", "")):
        raise FederationError(
            f"{public}: Flower registered this key before and does not register it again. If the "
            "site was revoked, give it a new key with ucadi provision --add; if the state was "
            "damaged, move it away and start again"
        )
    node = str(require_success(text).get("node-id", ""))
    if not node.isdigit():
        raise FederationError(f"flwr supernode register answered {node[:40]!r} for a node id")
    return node


def _time(value: object) -> str:
    return "" if value in (None, "N/A") else str(value)
