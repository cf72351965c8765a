"""The commands as a user types them: exit statuses, tables, and which program each runs."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from ucadi_flwr.commands.server import server
from ucadi_flwr.commands.site import site
from ucadi_flwr.commands.status import status
from ucadi_flwr.commands.submit import submit
from ucadi_flwr.deployment import lastrun, roster
from ucadi_flwr.deployment.kit import commands
from ucadi_flwr.deployment.kit.kits import ServerKit
from ucadi_flwr.deployment.lastrun import LastRun
from ucadi_flwr.deployment.roster import Entry
from ucadi_flwr.deployment.state import State
from ucadi_flwr.processes.children import free_port


def typed(command: Callable[..., None], *words: object) -> tuple[int, str]:
    app = typer.Typer()
    app.command()(command)
    found = CliRunner().invoke(app, [*map(str, words)], env={"COLUMNS": "200"})
    return found.exit_code, found.output


@pytest.mark.parametrize(
    ("command", "program"),
    [
        (server, "flower-superlink"),
        (site, "flower-supernode"),
        (submit, "flwr run"),
        (status, "flwr supernode list"),
    ],
)
def test_help_says_which_of_flower_s_programs_is_run(
    command: Callable[..., None], program: str
) -> None:
    code, said = typed(command, "--help")
    assert code == 0
    assert program in " ".join(said.split())


def test_a_check_that_finds_something_wrong_ends_with_1(tmp_path: Path) -> None:
    commands.make(tmp_path / "KIT", f"127.0.0.1:{free_port()}", ["A"], "none")
    code, said = typed(site, tmp_path / "KIT" / "A", "--data", tmp_path, "--check")
    assert code == 1
    assert "WRONG" in said
    assert "no answer" in said


def test_status_without_a_server_ends_with_1_and_says_what_is_known(
    kit: Path, tmp_path: Path
) -> None:
    state, known = State(tmp_path), roster.kit_keys(ServerKit.load(kit / "server"))
    roster.save(state.roster, {key: Entry(name, "77") for key, name in known.items()})
    lastrun.save(state.last_run, LastRun("t", "s", "/out", "5"))
    code, said = typed(status, kit / "server", "--state", tmp_path)
    assert code == 1
    assert said.count("unknown") == 3
    assert "run 5 · t × s · waiting · /out" in said
    assert "no server was started with this state" in said
    code, said = typed(status, kit / "server", "--state", tmp_path, "--json")
    assert code == 1
    found = json.loads(said)
    assert found["server"] == "fl.example.org:8443"
    assert found["run"]["run"] == "5"
    assert [row["node"] for row in found["sites"]] == ["77"] * 3
