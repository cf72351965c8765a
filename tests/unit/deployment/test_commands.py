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
from ucadi_flwr.deployment import last_run, roster
from ucadi_flwr.deployment.kit import commands
from ucadi_flwr.deployment.kit.kits import ServerKit
from ucadi_flwr.deployment.last_run import LastRun
from ucadi_flwr.deployment.roster import RosterEntry
from ucadi_flwr.deployment.state_folder import State
from ucadi_flwr.processes.children import free_port


def run_command(command: Callable[..., None], *words: object) -> tuple[int, str]:
    """The exit status and the output."""
    app = typer.Typer()
    app.command()(command)
    result = CliRunner().invoke(app, [*map(str, words)], env={"COLUMNS": "200"})
    return result.exit_code, result.output


@pytest.mark.parametrize(
    ("command", "program"),
    [
        (server, "flower-superlink"),
        (site, "flower-supernode"),
        (submit, "flwr run"),
        (status, "flwr supernode list"),
    ],
)
def test_help_names_the_flower_program_that_runs(
    command: Callable[..., None], program: str
) -> None:
    status_code, output = run_command(command, "--help")
    assert status_code == 0
    assert program in " ".join(output.split())


def test_a_check_that_finds_an_error_exits_with_1(tmp_path: Path) -> None:
    commands.make(tmp_path / "KIT", f"127.0.0.1:{free_port()}", ["A"], "none")
    status_code, output = run_command(site, tmp_path / "KIT" / "A", "--data", tmp_path, "--check")
    assert status_code == 1
    assert "WRONG" in output
    assert "no answer" in output


def test_status_without_a_server_exits_with_1_and_shows_the_recorded_nodes(
    kit: Path, tmp_path: Path
) -> None:
    state, keys = State(tmp_path), roster.kit_keys(ServerKit.load(kit / "server"))
    roster.save(state.roster, {key: RosterEntry(name, "77") for key, name in keys.items()})
    last_run.save(state.last_run, LastRun("t", "s", "/out", "5"))
    status_code, output = run_command(status, kit / "server", "--state", tmp_path)
    assert status_code == 1
    assert output.count("unknown") == 3
    assert "run 5 · t × s · waiting · /out" in output
    assert "no server was started with this state" in output
    status_code, output = run_command(status, kit / "server", "--state", tmp_path, "--json")
    assert status_code == 1
    printed = json.loads(output)
    assert printed["server"] == "fl.example.org:8443"
    assert printed["run"]["run"] == "5"
    assert [row["node"] for row in printed["sites"]] == ["77"] * 3
