"""A federation of real processes: ucadi's own commands, in one working folder on this machine."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from helpers import tiny
from helpers.federation import SIZES
from ucadi_flwr.deployment.kit import commands
from ucadi_flwr.deployment.state import State
from ucadi_flwr.processes.children import free_port, stop

SECONDS = 900.0
"""Every message starts a process that imports PyTorch; four of those on two busy cores are slow."""

COMMAND = """\
import typer
from ucadi_flwr.errors import (reporting_errors)
from ucadi_flwr.commands.{0} import {0}
with reporting_errors():
    typer.run({0})
"""


class Federation:
    """A kit, and every command of it as a process of its own, in one working folder."""

    def __init__(self, folder: Path, sizes: dict[str, int] = SIZES) -> None:
        self.folder, self.sizes = folder, sizes
        self.kit = folder / "KIT"
        commands.make(self.kit, f"127.0.0.1:{free_port()}", sizes, "bfv")
        self.data = tiny.write_sites(folder / "data", sizes)
        (folder / "tasks").mkdir()
        self.task = tiny.write_task(folder / "tasks")
        self.state = State(folder / "state")
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        self._before: dict[str, int] = {}
        self.where: dict[str, Path] = {}  # other working folders than ours, by command
        self.extra: dict[str, dict[str, str]] = {}  # environment, by command
        self.environment = os.environ | {"OMP_NUM_THREADS": "1"}

    def start(self, name: str, *words: object) -> subprocess.Popen[bytes]:
        """``ucadi`` with these words; what it says is in ``said(name)``."""
        with (self.folder / f"{name}.out").open("ab") as output:
            self._before[name] = output.tell()
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-c", COMMAND.format(words[0]), *map(str, words[1:])],
                cwd=self.where.get(name, self.folder),
                env=self.environment | self.extra.get(name, {}),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        return self.processes[name]

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.out").read_text(encoding="utf-8")

    def news(self, name: str) -> str:
        """What a command said since it was started last."""
        said = (self.folder / f"{name}.out").read_bytes()
        return said[self._before[name] :].decode("utf-8")

    def start_server(self) -> None:
        self.start("server", "server", self.kit / "server", "--state", self.state.folder)
        self.until(lambda: "ready; state" in self.news("server"))

    def start_site(self, name: str) -> None:
        words = ("--data", self.data / name, "--state", self.folder / f"state-{name}")
        self.start(name, "site", self.kit / name, *words, "--threads", 1)

    def start_sites(self) -> None:
        for name in self.sizes:
            self.start_site(name)
        self.until(lambda: all("online as node" in self.news(name) for name in self.sizes))

    def supernode(self, site: str) -> psutil.Process:
        """Flower's process below the supervisor of a site."""
        below = psutil.Process(self.processes[site].pid).children()
        return next(p for p in below if any("flower-supernode" in word for word in p.cmdline()))

    def until(self, condition: Callable[[], bool], seconds: float = SECONDS) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, {n: self.said(n) for n in self.processes}
            for name, process in self.processes.items():
                assert process.poll() is None, self.said(name)
            time.sleep(0.3)

    def close(self) -> None:
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            try:
                process.wait(40)
            except subprocess.TimeoutExpired:
                stop(process)
