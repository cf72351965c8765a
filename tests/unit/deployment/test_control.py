"""The replies of ``flwr``, the registrations of the sites, and the state folder."""

import json
from pathlib import Path

import pytest

from ucadi_flwr.deployment import roster
from ucadi_flwr.deployment.control import Control, Node, parse_node_id, parse_nodes, require_success
from ucadi_flwr.deployment.kit.kits import ServerKit
from ucadi_flwr.deployment.roster import RosterEntry
from ucadi_flwr.deployment.server import local_address, superlink_command, update_registrations
from ucadi_flwr.deployment.state_folder import State, open_state
from ucadi_flwr.deployment.status import site_rows
from ucadi_flwr.errors import FederationError

PUBLIC = Path("A.pub")
LISTED = {
    "success": True,
    "nodes": [
        {"node-id": "7", "status": "online", "online-at": "2026-01-01 10:00:00Z"},
        {"node-id": "8", "status": "registered", "online-at": "N/A", "offline-at": "N/A"},
    ],
}


def test_nodes_are_parsed() -> None:
    assert parse_nodes(json.dumps(LISTED)) == {
        "7": Node("7", "online", "2026-01-01 10:00:00Z", ""),
        "8": Node("8", "registered", "", ""),
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no JSON object: ''"),
        ("Traceback", "no JSON object: 'Traceback'"),
        ("[]", "no JSON object"),
        ("{}", "no reason given"),
        ('{"success": "yes"}', "no reason given"),
        ('{"success": false, "error-message": "a\\nb"}', "Flower refused: a b"),
        ('{"success": true}', "without a list"),
        ('{"success": true, "nodes": [1]}', "without a list"),
    ],
)
def test_other_replies_are_refused(text: str, message: str) -> None:
    with pytest.raises(FederationError, match=message):
        parse_nodes(text)


def test_the_id_of_a_registered_node_is_a_number() -> None:
    assert parse_node_id('{"success": true, "node-id": 12}', PUBLIC) == "12"
    with pytest.raises(FederationError, match="for a node id"):
        parse_node_id('{"success": true, "node-id": "rm -rf"}', PUBLIC)


def test_a_key_that_flower_registered_before_is_an_error_with_a_remedy() -> None:
    reply = {"success": False, "error-message": "[code: 23] Public key already in use."}
    with pytest.raises(FederationError, match=r"A\.pub: Flower registered this key before"):
        parse_node_id(json.dumps(reply), PUBLIC)
    with pytest.raises(FederationError, match="Flower refused"):
        require_success(json.dumps(reply))


def test_flwr_is_not_run_before_a_server_was_started(tmp_path: Path) -> None:
    with pytest.raises(FederationError, match="no server was started with this state"):
        Control(State(tmp_path)).nodes()


class FakeControl(Control):
    """Records the registrations, and asks no SuperLink."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def register(self, site: str, public: Path) -> str:
        assert public.stem == site
        self.calls.append(f"+{site}")
        return str(100 + len(self.calls))

    def unregister(self, node: str) -> None:
        self.calls.append(f"-{node}")


def test_sites_are_registered_once_and_unregistered_when_they_leave(
    kit: Path, tmp_path: Path
) -> None:
    server, state, lines = ServerKit.load(kit / "server"), State(tmp_path), list[str]()
    roster.save(state.roster, {"SHA256:old": RosterEntry("Z", "99")})
    flower = FakeControl()
    update_registrations(server, flower, state, lines.append)
    assert flower.calls == ["-99", "+A", "+B", "+C"]
    assert lines == [
        "Z: unregistered (node 99)",
        "A: registered (node 102)",
        "B: registered (node 103)",
        "C: registered (node 104)",
    ]
    flower, before = FakeControl(), roster.load(state.roster)
    update_registrations(server, flower, state, lines.append)
    assert flower.calls == []
    assert lines[-1] == "C: registered before (node 104)"
    assert roster.load(state.roster) == before


def test_each_registration_is_saved_before_the_next_one(kit: Path, tmp_path: Path) -> None:
    class Failing(FakeControl):
        def register(self, site: str, public: Path) -> str:
            if site == "C":
                raise FederationError("no")
            return super().register(site, public)

    state = State(tmp_path)
    with pytest.raises(FederationError):
        update_registrations(ServerKit.load(kit / "server"), Failing(), state, lambda _: None)
    assert [entry.site for entry in roster.load(state.roster).values()] == ["A", "B"]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"nodes": {"a": 1}}', '{"nodes": []}'])
def test_a_damaged_roster_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "roster.json"
    path.write_text(text)
    with pytest.raises(FederationError, match="move the whole state folder away"):
        roster.load(path)


def test_the_rows_of_the_sites() -> None:
    keys = {"ka": "A", "kb": "B", "kc": "C"}
    registered = {"ka": RosterEntry("A", "7"), "kb": RosterEntry("B", "8")}
    rows = site_rows(keys, registered, parse_nodes(json.dumps(LISTED)))
    assert [(r.site, r.status, r.since, r.node) for r in rows] == [
        ("A", "online", "2026-01-01 10:00:00Z", "7"),
        ("B", "registered", "", "8"),
        ("C", "unknown", "", ""),
    ]


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "127.0.0.1:9"),
        ("0.0.0.0", "127.0.0.1:9"),  # noqa: S104
        ("::", "[::1]:9"),
        ("::1", "[::1]:9"),
        ("fl.example.org", "fl.example.org:9"),
    ],
)
def test_the_server_s_local_address_is_one_of_its_certificate(
    kit: Path, host: str, address: str
) -> None:
    assert local_address(ServerKit.load(kit / "server"), host, 9) == address


def test_other_hosts_are_refused(kit: Path) -> None:
    with pytest.raises(FederationError, match="the certificate is for 127"):
        local_address(ServerKit.load(kit / "server"), "192.0.2.1", 9)


def test_the_server_authenticates_nodes(kit: Path, tmp_path: Path) -> None:
    words = superlink_command(ServerKit.load(kit / "server"), State(tmp_path), "127.0.0.1", 9)
    assert "--enable-supernode-auth" in words
    assert "--insecure" not in words
    assert words[words.index("--ssl-keyfile") + 1] == str(kit / "server" / "server.key")
    assert State(tmp_path).database.parent != kit / "server"


def test_the_state_folder_is_private_and_never_in_a_kit(
    kit: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    authority = kit / "server" / "ca.crt"
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "x"))
    state = open_state(None, "server", authority)
    assert state.folder.parent == tmp_path / "x" / "ucadi"
    assert state.folder.name.startswith("server-")
    assert state.folder.stat().st_mode & 0o777 == 0o700
    assert open_state(None, "server", authority) == state
    assert open_state(None, "site-A", authority) != state
    monkeypatch.setenv("XDG_STATE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert open_state(None, "server", authority).folder.is_relative_to(tmp_path / ".local/state")
    with pytest.raises(FederationError, match="nothing may be written into a kit"):
        open_state(kit / "server" / "state", "server", authority)
    (tmp_path / "file").touch()
    with pytest.raises(FederationError, match="cannot be made"):
        open_state(tmp_path / "file" / "state", "server", authority)


def test_a_state_folder_is_used_by_one_command_at_a_time(tmp_path: Path) -> None:
    state = State(tmp_path)
    with (
        state.locked(),
        pytest.raises(
            FederationError,
            match="stop it, or name another --state",
        ),
        state.locked(),
    ):
        pass
    with state.locked():
        pass
