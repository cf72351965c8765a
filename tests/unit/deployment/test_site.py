"""The parts of ``ucadi site``: its waits, the settings of its node, the events of its log."""

from pathlib import Path

import pytest
from flwr.common.config import parse_config_args

from ucadi_flwr.deployment import node_log
from ucadi_flwr.deployment.kit.kits import SiteKit
from ucadi_flwr.deployment.node_log import NodeLog
from ucadi_flwr.deployment.site import (
    Backoff,
    end_reason,
    node_config,
    node_settings,
    supernode_command,
)
from ucadi_flwr.deployment.state_folder import State
from ucadi_flwr.errors import FederationError


def test_waits_double_up_to_a_minute_and_start_again_after_a_long_run() -> None:
    backoff = Backoff()
    assert [backoff.next_wait(3.0) for _ in range(8)] == [1, 2, 4, 8, 16, 32, 60, 60]
    assert backoff.next_wait(120.0) == 1
    assert backoff.next_wait(119.0) == 2


def test_waits_are_longer_than_the_minute_for_which_a_crashed_node_is_refused() -> None:
    backoff = Backoff()
    assert sum(backoff.next_wait(0.0) for _ in range(6)) > 60


@pytest.mark.parametrize(
    "path", ["/data", "/a b/c", "/a=b", '/a"b', "/a\\b", "/a'b", "/ärzte/肺", "/x.toml", "/#1"]
)
def test_flower_reads_the_node_s_settings_as_they_are(path: str) -> None:
    values: dict[str, str | int] = {"site": "A", "data-dir": path, "threads": 2}
    assert parse_config_args([node_config(values)]) == values


@pytest.mark.parametrize("path", ["/a'b\"c", "/a\nb", "/a\tb", "/a'\\b"])
def test_names_that_flower_cannot_be_given_are_refused(path: str) -> None:
    with pytest.raises(FederationError, match="rename the folder"):
        node_config({"data-dir": path})


def test_the_node_has_its_own_data_cache_and_key(kit: Path, plain_kit: Path) -> None:
    state = State(Path("/state"))
    assert node_settings(SiteKit.load(kit / "A"), Path("/data"), state, 4) == {
        "site": "A",
        "data-dir": "/data",
        "cache-dir": "/state/cache",
        "memory-dir": "/state/memory",
        "key": str(kit / "A" / "encryption.key"),
        "threads": 4,
    }
    assert set(node_settings(SiteKit.load(plain_kit / "A"), Path("/data"), state, None)) == {
        "site",
        "data-dir",
        "cache-dir",
        "memory-dir",
    }


def test_the_command_has_tls_and_the_node_s_key(kit: Path) -> None:
    words = supernode_command(SiteKit.load(kit / "B"), "site='B'", 4000)
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


def test_a_log_becomes_events_and_nothing_else_of_it_is_repeated(tmp_path: Path) -> None:
    path = tmp_path / "supernode.log"
    path.write_text("SuperNode ID: 1\n")
    log = NodeLog(path)
    log.process_started()
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


def test_a_new_log_after_a_renamed_one_is_read_from_its_start(tmp_path: Path) -> None:
    path = tmp_path / "supernode.log"
    path.write_text(LOG)
    log = NodeLog(path)
    path.write_text("SuperNode ID: 2\n")
    log.process_started()
    assert list(log.events()) == ["online as node 2"]


def test_a_server_that_does_not_answer_is_reported_once(tmp_path: Path) -> None:
    path = tmp_path / "supernode.log"
    log = NodeLog(path)
    retry = "Connection attempt failed, retrying in 1.9 seconds\n"
    path.write_text(retry * 3 + "Connection successful after 9 seconds and 3 tries.\n" + retry)
    lost = "the server does not answer; the node keeps trying"
    assert list(log.events()) == [lost, "the server answers again", lost]


def test_there_may_be_no_log_yet(tmp_path: Path) -> None:
    log = NodeLog(tmp_path / "none")
    log.process_started()
    assert list(log.events()) == []


@pytest.mark.parametrize(
    ("text", "status", "reason"),
    [
        ("Exit Code: 305\n", 1, "refuses this node"),
        ("Exit Code: 999\n", 1, "Flower's exit code 999"),
        ("SuperNode ID: 1\n", -9, "killed by signal 9"),
        ("", 0, "is this machine's clock right"),
        ("SuperNode ID: 1\n", 0, "exit status 0"),
        ("", 3, "exit status 3"),
    ],
)
def test_why_a_node_ended(tmp_path: Path, text: str, status: int, reason: str) -> None:
    path = tmp_path / "supernode.log"
    log = NodeLog(path)
    path.write_text(text)
    list(log.events())
    assert reason in end_reason(status, log)
    assert set(node_log.EXIT_REASONS) == {302, 303, 305}
