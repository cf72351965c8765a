"""The supervisor's parts: how long it waits, what it tells Flower, what it makes of its log."""

from pathlib import Path

import pytest
from flwr.common.config import parse_config_args

from ucadi_flwr.deployment import nodelog
from ucadi_flwr.deployment.kit.kits import SiteKit
from ucadi_flwr.deployment.nodelog import NodeLog
from ucadi_flwr.deployment.site import Backoff, command, node_config, reason, settings
from ucadi_flwr.deployment.state import State
from ucadi_flwr.errors import FederationError


def test_waits_double_up_to_a_minute_and_begin_again_after_a_steady_run() -> None:
    backoff = Backoff()
    assert [backoff.after(3.0) for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert backoff.after(120.0) == 1
    assert backoff.after(119.0) == 2


def test_waits_outlast_the_minute_for_which_a_crashed_node_is_refused() -> None:
    backoff = Backoff()
    assert sum(backoff.after(0.0) for _ in range(6)) > 60


@pytest.mark.parametrize(
    "path", ["/data", "/a b/c", "/a=b", '/a"b', "/a\\b", "/a'b", "/ärzte/肺", "/x.toml", "/#1"]
)
def test_flower_reads_the_node_s_settings_as_they_are(path: str) -> None:
    values: dict[str, str | int] = {"site": "A", "data-dir": path, "threads": 2}
    assert parse_config_args([node_config(values)]) == values


@pytest.mark.parametrize("path", ["/a'b\"c", "/a\nb", "/a\tb", "/a'\\b"])
def test_names_that_flower_cannot_be_told_are_refused(path: str) -> None:
    with pytest.raises(FederationError, match="rename the folder"):
        node_config({"data-dir": path})


def test_the_node_has_its_own_data_cache_and_key(kit: Path, plain_kit: Path) -> None:
    state = State(Path("/state"))
    assert settings(SiteKit.load(kit / "A"), Path("/data"), state, 4) == {
        "site": "A",
        "data-dir": "/data",
        "cache-dir": "/state/cache",
        "memory-dir": "/state/memory",
        "key": str(kit / "A" / "encryption.key"),
        "threads": 4,
    }
    assert set(settings(SiteKit.load(plain_kit / "A"), Path("/data"), state, None)) == {
        "site",
        "data-dir",
        "cache-dir",
        "memory-dir",
    }


def test_the_command_has_tls_and_the_node_s_key(kit: Path) -> None:
    words = command(SiteKit.load(kit / "B"), "site='B'", 4000)
    assert words[0] == "flower-supernode"
    assert words[words.index("--superlink") + 1] == "fl.example.org:8443"
    assert words[words.index("--auth-supernode-private-key") + 1] == str(kit / "B" / "node.key")
    assert "--insecure" not in words


LOG = """\
\x1b[92mINFO \x1b[0m:      Starting Flower SuperNode
\x1b[92mINFO \x1b[0m:      SuperNode ID: 77
\x1b[92mINFO \x1b[0m:      [RUN 5, ROUND 2]
\x1b[92mINFO \x1b[0m:      Receiving: train message (ID: abc)
patient John Doe, born 1950
\x1b[92mINFO \x1b[0m:      [RUN 5]
\x1b[92mINFO \x1b[0m:      Sending: query.weigh message (ID: def)
"""


def test_a_log_becomes_events_and_nothing_else_of_it_is_told(tmp_path: Path) -> None:
    path = tmp_path / "supernode.log"
    path.write_text("SuperNode ID: 1\n")
    log = NodeLog(path)
    log.started()
    assert list(log.events()) == []
    with path.open("a") as file:
        file.write(LOG + "SuperNode ID: 9")
    assert list(log.events()) == [
        "online as node 77",
        "run 5 round 2: asked to train",
        "run 5: answered query.weigh",
    ]
    assert list(log.events()) == []
    assert log.online


def test_a_log_that_was_put_aside_is_read_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "supernode.log"
    path.write_text(LOG)
    log = NodeLog(path)
    path.write_text("SuperNode ID: 2\n")
    log.started()
    assert list(log.events()) == ["online as node 2"]


def test_a_server_that_is_away_is_told_once(tmp_path: Path) -> None:
    path = tmp_path / "supernode.log"
    log = NodeLog(path)
    retry = "Connection attempt failed, retrying in 1.9 seconds\n"
    path.write_text(retry * 3 + "Connection successful after 9 seconds and 3 tries.\n" + retry)
    away = "the server does not answer; the node goes on trying"
    assert list(log.events()) == [away, "the server answers again", away]


def test_there_may_be_no_log_yet(tmp_path: Path) -> None:
    log = NodeLog(tmp_path / "none")
    log.started()
    assert list(log.events()) == []


@pytest.mark.parametrize(
    ("text", "status", "found"),
    [
        ("Exit Code: 305\n", 1, "does not take this node"),
        ("Exit Code: 999\n", 1, "Flower's exit code 999"),
        ("SuperNode ID: 1\n", -9, "killed by signal 9"),
        ("", 0, "is this machine's clock right"),
        ("SuperNode ID: 1\n", 0, "exit status 0"),
        ("", 3, "exit status 3"),
    ],
)
def test_why_a_node_ended(tmp_path: Path, text: str, status: int, found: str) -> None:
    path = tmp_path / "supernode.log"
    log = NodeLog(path)
    path.write_text(text)
    list(log.events())
    assert found in reason(status, log)
    assert set(nodelog.EXITS) == {302, 303, 305}
