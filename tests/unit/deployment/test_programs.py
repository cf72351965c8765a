"""The commands with substitutes for Flower's programs: what is started, ended and printed."""

import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from ucadi_flwr.deployment import control, last_run, server, site
from ucadi_flwr.deployment import submit as submit_module
from ucadi_flwr.deployment.kit import commands
from ucadi_flwr.deployment.last_run import LastRun
from ucadi_flwr.deployment.server import serve
from ucadi_flwr.deployment.site import supervise
from ucadi_flwr.deployment.state_folder import State
from ucadi_flwr.deployment.status import read_status
from ucadi_flwr.deployment.submit import RunRequest, submit_run
from ucadi_flwr.errors import DataError, FederationError
from ucadi_flwr.processes import children as children_module
from ucadi_flwr.processes.children import Children, flower_environment, free_port, last_line

SUPERLINK = """\
import http.server, ssl, sys
words = dict(zip(sys.argv[1:], sys.argv[2:]))
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(words["--ssl-certfile"], words["--ssl-keyfile"])
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
web = http.server.HTTPServer((words["--host"], int(words["--port"])), Handler)
web.socket = context.wrap_socket(web.socket, server_side=True)
web.serve_forever()
"""

FLWR = """\
import json, os, sys, time, tomllib
from pathlib import Path
home = Path(os.environ["FLWR_HOME"])
tomllib.loads((home / "config.toml").read_text())
with (home / "calls").open("a") as file:
    print(*sys.argv[1:3], file=file)
if sys.argv[1] == "run":
    app = tomllib.loads(Path(sys.argv[2], "pyproject.toml").read_text())["tool"]["flwr"]["app"]
    folder = Path(app["config"]["out"]) / "server"
    print("Successfully started run 42", flush=True)
    time.sleep(1)
    for number in range(1, app["config"]["rounds"] + 1):
        with (folder / "journal.jsonl").open("a") as file:
            file.write(json.dumps(
                {"event": "round", "round": number, "rounds": 2, "loss": None}) + "\\n")
    if app["config"]["seed"] == 13:
        time.sleep(100)
    (folder / "run.json").touch()
elif sys.argv[2] == "register":
    print(json.dumps({"success": True, "node-id": len(sys.argv[4])}))
else:
    print(json.dumps({"success": True, "nodes": []}))
"""


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of substitutes that come before Flower's programs in PATH."""
    folder = tmp_path / "bin"
    folder.mkdir()
    flower_environment = children_module.flower_environment

    def with_substitutes(home: Path) -> dict[str, str]:
        variables = flower_environment(home)
        return variables | {"PATH": f"{folder}{os.pathsep}{variables['PATH']}"}

    for module in (control, server, site, submit_module):
        monkeypatch.setattr(module, "flower_environment", with_substitutes)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def write_program(folder: Path, name: str, text: str) -> None:
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{text}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


class Listener:
    """Keeps the lines, and sends SIGTERM to this process after the line with ``last``."""

    def __init__(self, last: str) -> None:
        self.last, self.lines = last, list[str]()

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        if self.last in line:
            signal.raise_signal(signal.SIGTERM)


def has_no_children() -> bool:
    return not psutil.Process().children(recursive=True)


def test_a_node_is_started_again_after_longer_and_longer_waits(
    kit: Path, tmp_path: Path, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_program(programs, "flower-supernode", "print('Exit Code: 305')\nraise SystemExit(1)")
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    listener = Listener("again in 4 s")
    with pytest.raises(SystemExit) as ended:
        supervise(kit / "A", tmp_path, tmp_path / "state", None, listener)
    assert ended.value.code == 0
    assert [w for w in waits if w >= 1] == [1, 2]
    assert sum("node started for fl.example.org:8443" in line for line in listener.lines) == 3
    assert "A: stopping" in listener.lines[-1]
    assert all("Z A: " in line for line in listener.lines)
    assert has_no_children()


def test_a_stopped_supervisor_ends_all_its_processes(
    kit: Path, tmp_path: Path, programs: Path
) -> None:
    """Even one that left its process group and lost its parent."""
    text = (
        "import subprocess, time\n"
        "subprocess.Popen(['sh', '-c', 'sleep 300 & sleep 300'], start_new_session=True)\n"
        "print('SuperNode ID: 7', flush=True)\ntime.sleep(300)"
    )
    write_program(programs, "flower-supernode", text)
    listener = Listener("online as node 7")
    with pytest.raises(SystemExit):
        supervise(kit / "A", tmp_path, tmp_path / "state", 1, listener)
    assert has_no_children()
    assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700


def test_a_site_needs_its_data_folder(kit: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such folder"):
        supervise(kit / "A", tmp_path / "none", tmp_path / "state", None, print)


@pytest.fixture
def local_kit(tmp_path: Path) -> Path:
    """A kit at a free port of this machine."""
    kit = tmp_path / "KIT"
    commands.make(kit, f"127.0.0.1:{free_port()}", ["A", "BB", "CCC"], "bfv")
    return kit


def test_a_server_a_run_and_its_status(local_kit: Path, tmp_path: Path, programs: Path) -> None:
    write_program(programs, "flower-superlink", SUPERLINK)
    write_program(programs, "flwr", FLWR)
    state = State(tmp_path / "state")

    class During(Listener):
        def __call__(self, line: str) -> None:
            self.lines.append(line)
            if line.startswith("ready"):
                request = RunRequest("phantom-covid2", "ucadi", tmp_path / "out", rounds=2)
                (result,) = submit_run(local_kit / "server", state.folder, request)
                assert result.name == "run.json"
                status = read_status(local_kit / "server", state.folder)
                assert not status.problem
                assert status.course is not None
                assert status.course.state == "finished"
                with pytest.raises(FederationError, match="another program listens there"):
                    serve(local_kit / "server", tmp_path / "other", "127.0.0.1", None, print)
                signal.raise_signal(signal.SIGTERM)

    listener = During("")
    with pytest.raises(SystemExit) as ended:
        serve(local_kit / "server", state.folder, "127.0.0.1", None, listener)
    assert ended.value.code == 0
    assert [line.split(" (")[0] for line in listener.lines[1:-1]] == [
        "A: registered",
        "BB: registered",
        "CCC: registered",
    ]
    run = last_run.load(state.last_run)
    assert run is not None
    assert run.run == "42"
    assert has_no_children()


def test_a_signal_that_stops_a_submission_stops_the_run(
    local_kit: Path, tmp_path: Path, programs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_program(programs, "flwr", FLWR)
    state = State(tmp_path / "state")
    state.flower.mkdir(parents=True)
    control.Control(state).connect("127.0.0.1:1", local_kit / "server" / "ca.crt")
    save = last_run.save

    def save_once(path: Path, run: LastRun) -> None:
        save(path, run)
        if not run.stopped:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(last_run, "save", save_once)
    request = RunRequest("phantom-covid2", "ucadi", tmp_path / "out", rounds=2, seed=13)
    with pytest.raises(SystemExit) as ended:
        submit_run(local_kit / "server", state.folder, request)
    assert ended.value.code == 143
    assert (state.flower / "calls").read_text().splitlines()[-1] == "stop 42"
    run = last_run.load(state.last_run)
    assert run is not None
    assert last_run.read_progress(run).state == "stopped"
    assert has_no_children()


def test_a_server_that_ends_by_itself_is_an_error(
    local_kit: Path, tmp_path: Path, programs: Path
) -> None:
    write_program(programs, "flower-superlink", "print('no database')\nraise SystemExit(3)")
    with pytest.raises(FederationError, match="stopped by itself: no database"):
        serve(local_kit / "server", tmp_path / "state", "127.0.0.1", None, print)


def test_a_server_that_is_killed_is_an_error(
    local_kit: Path, tmp_path: Path, programs: Path
) -> None:
    """The last line of the log, which its helper processes wrote, is not the reason."""
    write_program(
        programs,
        "flower-superlink",
        "import os\nprint('retrying', flush=True)\nos.kill(os.getpid(), 9)",
    )
    with pytest.raises(FederationError, match="killed by signal 9; start ucadi server again"):
        serve(local_kit / "server", tmp_path / "state", "127.0.0.1", None, print)


def test_the_text_in_a_box_becomes_one_line(tmp_path: Path) -> None:
    log = tmp_path / "x.log"
    log.write_text("before\n╭─ Error ───╮\n│ No server  │\n│ is there.  │\n╰───────────╯\n")
    assert last_line(log) == "No server is there."


def test_a_long_log_is_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(children_module, "LOG_BYTES", 3)
    log = tmp_path / "x.log"
    assert last_line(log) == "no output"
    log.write_text("long\n")
    with Children(flower_environment(tmp_path)) as children:
        children.end(children.start(["true"], log))
    assert log.with_name("x.log.1").read_text() == "long\n"
    assert last_line(log) == "no output"


def test_the_program_of_a_killed_command_ends(tmp_path: Path) -> None:
    text = (
        "import sys, time\nfrom pathlib import Path\n"
        "from ucadi_flwr.processes.children import Children, flower_environment\n"
        "with Children(flower_environment(Path(sys.argv[1]))) as children:\n"
        "    print(children.start(['sleep', '300'], Path(sys.argv[1], 'x.log')).pid, flush=True)\n"
        "    time.sleep(300)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", text, str(tmp_path)], stdout=subprocess.PIPE, text=True
    ) as command:
        assert command.stdout is not None
        program = psutil.Process(int(command.stdout.readline()))
        command.kill()
    _, left = psutil.wait_procs([program], timeout=20)
    assert not left or left[0].status() == psutil.STATUS_ZOMBIE
