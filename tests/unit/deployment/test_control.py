"""What ``flwr`` answers, and which node is which site."""

import json
from pathlib import Path

import pytest

from ucadi_flwr.deployment import roster
from ucadi_flwr.deployment.control import Control, Node, parse_node_id, parse_nodes, succeed
from ucadi_flwr.deployment.kit.kits import ServerKit
from ucadi_flwr.deployment.roster import Entry
from ucadi_flwr.deployment.server import command, enrol, own_address
from ucadi_flwr.deployment.state import State, open_state
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


def test_nodes_are_read() -> None:
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
def test_other_answers_are_refused(text: str, message: str) -> None:
    with pytest.raises(FederationError, match=message):
        parse_nodes(text)


def test_a_registered_node_has_a_number() -> None:
    assert parse_node_id('{"success": true, "node-id": 12}', PUBLIC) == "12"
    with pytest.raises(FederationError, match="for a node id"):
        parse_node_id('{"success": true, "node-id": "rm -rf"}', PUBLIC)


def test_a_key_that_flower_had_before_says_what_to_do() -> None:
    said = {"success": False, "error-message": "[code: 23] Public key already in use."}
    with pytest.raises(FederationError, match=r"A\.pub: Flower had this key before"):
        parse_node_id(json.dumps(said), PUBLIC)
    with pytest.raises(FederationError, match="Flower refused"):
        succeed(json.dumps(said))


def test_flwr_is_not_asked_before_a_server_ran(tmp_path: Path) -> None:
    with pytest.raises(FederationError, match="no server was started with this state"):
        Control(State(tmp_path)).nodes()


class Fake(Control):
    """Flower's part, remembered."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def register(self, site: str, public: Path) -> str:
        assert public.stem == site
        self.asked.append(f"+{site}")
        return str(100 + len(self.asked))

    def unregister(self, node: str) -> None:
        self.asked.append(f"-{node}")


def test_sites_are_let_in_once_and_turned_away_when_they_leave(kit: Path, tmp_path: Path) -> None:
    server, state, said = ServerKit.load(kit / "server"), State(tmp_path), list[str]()
    roster.save(state.roster, {"SHA256:old": Entry("Z", "99")})
    flower = Fake()
    enrol(server, flower, state, said.append)
    assert flower.asked == ["-99", "+A", "+B", "+C"]
    assert said == [
        "Z: turned away (node 99)",
        "A: registered (node 102)",
        "B: registered (node 103)",
        "C: registered (node 104)",
    ]
    flower, before = Fake(), roster.load(state.roster)
    enrol(server, flower, state, said.append)
    assert flower.asked == []
    assert said[-1] == "C: known (node 104)"
    assert roster.load(state.roster) == before


def test_what_was_done_is_written_down_when_the_next_step_fails(kit: Path, tmp_path: Path) -> None:
    class Failing(Fake):
        def register(self, site: str, public: Path) -> str:
            if site == "C":
                raise FederationError("no")
            return super().register(site, public)

    state = State(tmp_path)
    with pytest.raises(FederationError):
        enrol(ServerKit.load(kit / "server"), Failing(), state, lambda _: None)
    assert [entry.site for entry in roster.load(state.roster).values()] == ["A", "B"]


@pytest.mark.parametrize("text", ["", "{}", "[]", '{"nodes": {"a": 1}}', '{"nodes": []}'])
def test_a_damaged_roster_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "roster.json"
    path.write_text(text)
    with pytest.raises(FederationError, match="move the whole state folder away"):
        roster.load(path)


def test_rows_of_sites() -> None:
    keys = {"ka": "A", "kb": "B", "kc": "C"}
    known = {"ka": Entry("A", "7"), "kb": Entry("B", "8")}
    rows = site_rows(keys, known, parse_nodes(json.dumps(LISTED)))
    assert [(r.site, r.status, r.since, r.node) for r in rows] == [
        ("A", "online", "2026-01-01 10:00:00Z", "7"),
        ("B", "registered", "", "8"),
        ("C", "unknown", "", ""),
    ]


@pytest.mark.parametrize(
    ("host", "near"),
    [
        ("127.0.0.1", "127.0.0.1:9"),
        ("0.0.0.0", "127.0.0.1:9"),  # noqa: S104
        ("::", "[::1]:9"),
        ("::1", "[::1]:9"),
        ("fl.example.org", "fl.example.org:9"),
    ],
)
def test_the_server_s_own_address_is_one_of_its_certificate(
    kit: Path, host: str, near: str
) -> None:
    assert own_address(ServerKit.load(kit / "server"), host, 9) == near


def test_other_hosts_are_refused(kit: Path) -> None:
    with pytest.raises(FederationError, match="the certificate is for 127"):
        own_address(ServerKit.load(kit / "server"), "192.0.2.1", 9)


def test_the_server_asks_nodes_who_they_are(kit: Path, tmp_path: Path) -> None:
    words = command(ServerKit.load(kit / "server"), State(tmp_path), "127.0.0.1", 9)
    assert "--enable-supernode-auth" in words
    assert "--insecure" not in words
    assert words[words.index("--ssl-keyfile") + 1] == str(kit / "server" / "server.key")
    assert not {str(p.parent) for p in (State(tmp_path).database,)} & {str(kit / "server")}


def test_state_is_private_and_never_in_a_kit(
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


def test_a_state_is_for_one_command_at_a_time(tmp_path: Path) -> None:
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
