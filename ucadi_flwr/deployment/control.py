"""``flwr`` as the server's operator uses it: which SuperLink, which nodes, and what it answers."""

import json
import subprocess  # fixed commands of this environment, no shell
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ucadi_flwr.deployment.state import State
from ucadi_flwr.errors import FederationError
from ucadi_flwr.processes.children import environment

CONNECTION = "kit"
SECONDS = 120.0

_KNOWN_KEY = "[code: 23]"


@dataclass(frozen=True)
class Node:
    """A SuperNode as ``flwr supernode list`` tells of it; times as Flower writes them."""

    node: str
    status: str
    online_at: str
    offline_at: str


class Control:
    """The SuperLink that this state's ``config.toml`` names."""

    def __init__(self, state: State) -> None:
        self._state = state

    @property
    def connected(self) -> bool:
        """Whether a server was ever started with this state."""
        return (self._state.flower / "config.toml").is_file()

    def connect(self, address: str, authority: Path) -> None:
        """Write down where the SuperLink is and what it is known by."""
        text = (
            f"[superlink.{CONNECTION}]\naddress = {json.dumps(address)}\n"
            f"root-certificates = {json.dumps(str(authority), ensure_ascii=False)}\n"
        )
        (self._state.flower / "config.toml").write_text(text, encoding="utf-8")

    def nodes(self) -> dict[str, Node]:
        """Node id → node, of all that are or were registered."""
        return parse_nodes(self._ask("supernode", "list", CONNECTION))

    def register(self, site: str, public: Path) -> str:
        """Let the node with this public key in; its id."""
        return parse_node_id(
            self._ask("supernode", "register", "--name", site, str(public), CONNECTION), public
        )

    def unregister(self, node: str) -> None:
        """Turn a node away, for ever."""
        succeed(self._ask("supernode", "unregister", node, CONNECTION))

    def stop_run(self, run: str) -> None:
        """Have a run end early."""
        succeed(self._ask("stop", run, CONNECTION))

    def _ask(self, *words: str) -> str:
        if not self.connected:
            raise FederationError(
                f"{self._state.folder}: no server was started with this state; run ucadi server, "
                "or name its --state"
            )
        try:
            said = subprocess.run(  # noqa: S603 - a fixed command
                ["flwr", *words, "--format", "json"],  # noqa: S607 - of this environment
                env=environment(self._state.flower),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise FederationError(f"flwr {words[0]}: no answer within {SECONDS:.0f} s") from None
        return said.stdout or json.dumps({"success": False, "error-message": said.stderr})


def parse(text: str) -> dict[str, Any]:
    """What ``--format json`` printed; Flower's exit status says nothing."""
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise FederationError(f"flwr answered what is no JSON object: {text.strip()[:200]!r}")
    return found


def succeed(text: str) -> dict[str, Any]:
    """The same, if it says that all went well; else :class:`FederationError` with its reason."""
    found = parse(text)
    if found.get("success") is not True:
        reason = " ".join(str(found.get("error-message") or "no reason given").split())
        raise FederationError(f"Flower refused: {reason[:300]}")
    return found


def parse_nodes(text: str) -> dict[str, Node]:
    """The answer of ``flwr supernode list``."""
    nodes = succeed(text).get("nodes")
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
    """The answer of ``flwr supernode register``."""
    if _KNOWN_KEY in str(parse(text).get("error-message", "")):
        raise FederationError(
            f"{public}: Flower had this key before and does not take it again. If the site was "
            "revoked, make it a new one with ucadi provision --add; if the state was damaged, "
            "move it away and start again"
        )
    node = str(succeed(text).get("node-id", ""))
    if not node.isdigit():
        raise FederationError(f"flwr supernode register answered {node[:40]!r} for a node id")
    return node


def _time(value: object) -> str:
    return "" if value in (None, "N/A") else str(value)
