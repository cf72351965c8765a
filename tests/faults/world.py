"""A federation of real processes in which faults happen, and its output."""

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import matplotlib
import psutil
from helpers.deployment import Federation
from helpers.federation import SIZES

from ucadi_flwr.processes.children import processes_using, stop

PATIENCE = 900.0
"""Seconds to wait for anything."""


class LateError(AssertionError):
    """The test waited for something in vain."""


class World(Federation):
    """One scenario's federation; programs write their temporary files into its folder too."""

    def __init__(
        self,
        folder: Path,
        strategy: str = "ucadi",
        rounds: int = 2,
        sizes: dict[str, int] = SIZES,
        recipe: str = "",
    ) -> None:
        super().__init__(folder, sizes)
        self.strategy, self.rounds = strategy, rounds
        self.out = folder / "out"
        (folder / "strategies").mkdir()
        if recipe:
            text = f"schema_version: 1\nname: {strategy}\nsummary: x\n{recipe}\n"
            (folder / "strategies" / f"{strategy}.yaml").write_text(text, encoding="utf-8")
        for name, variable in (("tmp", "TMPDIR"), ("home", "HOME")):
            (folder / name).mkdir()
            self.environment[variable] = str(folder / name)
        self.environment.pop("XDG_STATE_HOME", None)
        # Matplotlib would search all fonts again in a new folder
        self.environment["MPLCONFIGDIR"] = matplotlib.get_cachedir()
        self.submissions = 0
        self.key_holders = tuple(sizes)  # sites whose key opens the result

    # ------------------------------------------------------------------ commands

    def submit(self, *more: object) -> subprocess.Popen[bytes]:
        self.submissions += 1
        recipes = ("--task", "tiny", "--strategy", self.strategy, "--rounds", self.rounds)
        folders = ("--out", self.out, "--state", self.state.folder)
        name = f"submit{self.submissions}"
        return self.start(name, "submit", self.kit / "server", *recipes, *folders, *more)

    def resume(self, *more: object) -> subprocess.Popen[bytes]:
        return self.submit("--resume", *more)

    def finish(
        self, process: subprocess.Popen[bytes], expected: int = 0, patience: float = PATIENCE
    ) -> None:
        """Wait for a command's end."""
        name = next(n for n, p in self.processes.items() if p is process)
        self.wait(lambda: process.poll() is not None, f"the end of {name}", patience)
        assert process.returncode == expected, f"{name}: {process.returncode}, {self.output(name)}"
        self.processes.pop(name)

    # ------------------------------------------------------------------ waiting

    def wait(self, condition: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise LateError(f"{what}: not within {seconds:.0f} s\n{self.all_output()}")
            time.sleep(0.3)

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        path = self.out / "server" / "journal.jsonl"
        if not path.exists():
            return []
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        events = [json.loads(line) for line in lines if line.endswith("\n")]
        return [event for event in events if kind in ("", event["event"])]

    def round_done(self, number: int) -> float:
        """Time at which a round was complete first; 0.0 before."""
        times = [e["time"] for e in self.events("round") if e["round"] == number]
        return times[0] if times else 0.0

    def wait_round(self, number: int) -> None:
        self.wait(lambda: self.round_done(number), f"round {number}")

    def wait_training(self, number: int, *sites: str) -> None:
        """Wait until the processes of sites train in a round."""
        for site in sites or tuple(self.sizes):
            asked = partial(self.is_asked, number, site)
            self.wait(asked, f"the request of round {number} at {site}")
            self.wait(partial(self.find, site, "flwr-clientapp"), f"a client process at {site}")

    def is_asked(self, number: int, site: str) -> bool:
        """Whether a site was asked to train in a round."""
        return f"round {number}: asked to train" in self.output(site)

    # ------------------------------------------------------------------ processes

    def find(self, name: str, program: str) -> list[psutil.Process]:
        """The processes of one of Flower's programs that one of our commands started."""
        matches = []
        try:
            descendants = psutil.Process(self.processes[name].pid).children(recursive=True)
        except psutil.Error:
            return []
        for process in descendants:
            try:
                if any(program in word for word in process.cmdline()[:2]):
                    matches.append(process)
            except psutil.Error:
                continue
        return matches

    def own_processes(self) -> list[psutil.Process]:
        """Every process that belongs to this folder."""
        return [p for p in processes_using(self.folder) if p.pid != os.getpid()]

    def kill(self, *processes: psutil.Process) -> None:
        """``kill -9`` all before any of them can react."""
        for process in processes:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue

    def forget(self, name: str) -> None:
        """Remove a command that was killed together with its processes."""
        self.processes.pop(name).wait()

    def close(self) -> None:
        super().close()
        self.processes.clear()

    def left_behind(self) -> list[str]:
        """Processes that still run after all commands ended, and files in wrong folders."""
        deadline = time.monotonic() + 20
        while (running := self.own_processes()) and time.monotonic() < deadline:
            time.sleep(0.5)
        left = [f"process {p.pid} {' '.join(p.cmdline()[:2])}" for p in running]
        for process in running:
            process.kill()
        for name in ("tmp", "home"):
            files = sorted(p for p in (self.folder / name).rglob("*") if p.is_file())
            left += [str(p.relative_to(self.folder)) for p in files]
        return left

    def all_output(self) -> str:
        """For an error: the last lines of all logs and events."""
        logs = [*self.folder.glob("*.out"), *self.folder.glob("*/*.log"), *self.out.glob("*.log")]
        parts = []
        for log in sorted(logs):
            tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-12:]
            parts.append(f"--- {log.name} of {log.parent.name}\n" + "\n".join(tail))
        return "\n".join([*parts, *map(str, self.events()[-12:])])


@contextmanager
def open_world(
    folder: Path,
    strategy: str = "ucadi",
    rounds: int = 2,
    sizes: dict[str, int] = SIZES,
    recipe: str = "",
) -> Iterator[World]:
    """A :class:`World` whose processes are ended even after an error."""
    world = World(folder, strategy, rounds, sizes, recipe)
    try:
        yield world
    finally:
        for process in world.processes.values():
            if process.poll() is None:
                process.terminate()
        for process in world.processes.values():
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                stop(process)
        world.processes.clear()
