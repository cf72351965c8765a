"""A federation of real processes: ucadi's commands, in one working folder on this machine."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil

from helpers import tiny
from helpers.federation import SIZES
from ucadi_flwr.deployment.kit import commands
from ucadi_flwr.deployment.state_folder import State
from ucadi_flwr.processes.children import free_port, stop

SECONDS = 900.0
"""Every message starts a process that imports PyTorch: four of them are slow on two busy cores."""

COMMAND = """\
import typer
from ucadi_flwr.errors import reporting_errors
from ucadi_flwr.commands.{0} import {0}
with reporting_errors():
    typer.run({0})
"""


class Federation:
    """A kit, and its commands as processes, in one working folder.

    ``working_folders`` and ``variables``: other working folders and more environment variables for
    the commands of these names.
    """

    def __init__(self, folder: Path, sizes: dict[str, int] = SIZES) -> None:
        self.folder, self.sizes = folder, sizes
        self.kit = folder / "KIT"
        commands.make(self.kit, f"127.0.0.1:{free_port()}", sizes, "bfv")
        self.data = tiny.write_sites(folder / "data", sizes)
        (folder / "tasks").mkdir()
        self.task = tiny.write_task(folder / "tasks")
        self.state = State(folder / "state")
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._earlier_output: dict[str, int] = {}
        self.working_folders: dict[str, Path] = {}
        self.variables: dict[str, dict[str, str]] = {}
        self.environment = os.environ | {"OMP_NUM_THREADS": "1"}

    def start(self, name: str, *words: object) -> subprocess.Popen[bytes]:
        """Start ``ucadi`` with these words; ``output(name)`` is what it printed."""
        with (self.folder / f"{name}.out").open("ab") as output:
            self._earlier_output[name] = output.tell()
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-c", COMMAND.format(words[0]), *map(str, words[1:])],
                cwd=self.working_folders.get(name, self.folder),
                env=self.environment | self.variables.get(name, {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self.processes[name]

    def status(self) -> dict[str, Any]:
        """What ``ucadi status --json`` prints."""
        words = (str(self.kit / "server"), "--json", "--state", str(self.state.folder))
        done = subprocess.run(
            [sys.executable, "-c", COMMAND.format("status"), *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            check=False,
        )
        return dict(json.loads(done.stdout))

    def output(self, name: str) -> str:
        """All that the commands of this name printed."""
        return (self.folder / f"{name}.out").read_text(encoding="utf-8")

    def new_output(self, name: str) -> str:
        """What the command of this name printed that was started last."""
        output = (self.folder / f"{name}.out").read_bytes()
        return output[self._earlier_output[name] :].decode("utf-8")

    def start_server(self) -> None:
        self.start("server", "server", self.kit / "server", "--state", self.state.folder)
        self.until(lambda: "ready; state" in self.new_output("server"))

    def start_site(self, name: str) -> None:
        words = ("--data", self.data / name, "--state", self.folder / f"state-{name}")
        self.start(name, "site", self.kit / name, *words, "--threads", 1)

    def start_sites(self) -> None:
        for name in self.sizes:
            self.start_site(name)
        self.until(lambda: all("online as node" in self.new_output(name) for name in self.sizes))

    def supernode(self, site: str) -> psutil.Process:
        """Flower's process that a site's command started."""
        children = psutil.Process(self.processes[site].pid).children()
        return next(p for p in children if any("flower-supernode" in word for word in p.cmdline()))

    def until(self, condition: Callable[[], bool], seconds: float = SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, {n: self.output(n) for n in self.processes}
            for name, process in self.processes.items():
                assert process.poll() is None, self.output(name)
            time.sleep(0.3)

    def close(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                stop(process)
