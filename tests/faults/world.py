"""A federation of real processes to which faults happen, and what is seen of it."""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import matplotlib
import psutil
from helpers.deployment import COMMAND, SIZES, Federation

from ucadi_flwr.processes.children import stop, users_of

PATIENCE = 900.0
PROGRAMS = ("flower-superlink", "flower-supernode", "flwr-serverapp", "flwr-clientapp")


class LateError(AssertionError):
    """What was waited for did not come."""


class World(Federation):
    """One scenario's folder; whatever the programs would write elsewhere goes into it too."""

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
        self.environment["MPLCONFIGDIR"] = matplotlib.get_cachedir()  # or it lists all fonts again
        self.submissions = 0
        self.good = tuple(sizes)  # sites whose key opens the result

    # ------------------------------------------------------------------ commands

    def submit(self, *more: object) -> subprocess.Popen[bytes]:
        self.submissions += 1
        words = ("--task", "tiny", "--strategy", self.strategy, "--rounds", self.rounds)
        place = ("--out", self.out, "--state", self.state.folder)
        name = f"submit{self.submissions}"
        return self.start(name, "submit", self.kit / "server", *words, *place, *more)

    def resume(self, *more: object) -> subprocess.Popen[bytes]:
        return self.submit("--resume", *more)

    def status(self) -> dict[str, Any]:
        words = (str(self.kit / "server"), "--json", "--state", str(self.state.folder))
        said = subprocess.run(
            [sys.executable, "-c", COMMAND.format("status"), *words],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            check=False,
        )
        return dict(json.loads(said.stdout))

    def finish(
        self, process: subprocess.Popen[bytes], expected: int = 0, patience: float = PATIENCE
    ) -> None:
        """Wait for a command's end."""
        name = next(n for n, p in self.processes.items() if p is process)
        self.wait(lambda: process.poll() is not None, f"the end of {name}", patience)
        assert process.returncode == expected, f"{name}: {process.returncode}, {self.said(name)}"
        self.processes.pop(name)

    # ------------------------------------------------------------------ waiting

    def wait(self, condition: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > deadline:
                raise LateError(f"{what}: not within {seconds:.0f} s\n{self.everything()}")
            time.sleep(0.3)

    def events(self, kind: str = "") -> list[dict[str, Any]]:
        path = self.out / "server" / "journal.jsonl"
        if not path.exists():
            return []
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        found = [json.loads(line) for line in lines if line.endswith("\n")]
        return [event for event in found if kind in ("", event["event"])]

    def round_done(self, number: int) -> float:
        """When a round counted first; 0.0 before."""
        times = [e["time"] for e in self.events("round") if e["round"] == number]
        return times[0] if times else 0.0

    def wait_round(self, number: int) -> None:
        self.wait(lambda: self.round_done(number), f"round {number}")

    def wait_training(self, number: int, *sites: str) -> None:
        """Until sites train in a round: their processes work on it."""
        asked = f"round {number}: asked to train"
        for site in sites or tuple(self.sizes):
            self.wait(lambda s=site: asked in self.said(s), f"{site} asked in round {number}")
            self.wait(lambda s=site: self.find(s, "flwr-clientapp"), f"{site} at work")

    # ------------------------------------------------------------------ processes

    def find(self, name: str, program: str) -> list[psutil.Process]:
        """Flower's programs below one of our commands."""
        found = []
        try:
            below = psutil.Process(self.processes[name].pid).children(recursive=True)
        except psutil.Error:
            return []
        for process in below:
            try:
                if any(program in word for word in process.cmdline()[:2]):
                    found.append(process)
            except psutil.Error:
                continue
        return found

    def own(self) -> list[psutil.Process]:
        """Every process that belongs to this folder."""
        return [p for p in users_of(self.folder) if p.pid != os.getpid()]

    def kill(self, *processes: psutil.Process) -> None:
        """``kill -9``, all before any of them can answer."""
        for process in processes:
            try:
                process.kill()
            except psutil.NoSuchProcess:
                continue

    def forget(self, name: str) -> None:
        """A command that was killed with what it started."""
        self.processes.pop(name).wait()

    def close(self) -> None:
        super().close()
        self.processes.clear()

    def left_behind(self) -> list[str]:
        """What is there after all commands ended: processes, and files outside their places."""
        deadline = time.monotonic() + 20
        while (own := self.own()) and time.monotonic() < deadline:
            time.sleep(0.5)
        found = [f"process {p.pid} {' '.join(p.cmdline()[:2])}" for p in own]
        for process in own:
            process.kill()
        for name in ("tmp", "home"):
            files = sorted(p for p in (self.folder / name).rglob("*") if p.is_file())
            found += [str(p.relative_to(self.folder)) for p in files]
        return found

    def everything(self) -> str:
        """For an error: the ends of all that was said."""
        logs = [*self.folder.glob("*.out"), *self.folder.glob("*/*.log"), *self.out.glob("*.log")]
        parts = []
        for log in sorted(logs):
            tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-12:]
            parts.append(f"--- {log.name} of {log.parent.name}\n" + "\n".join(tail))
        return "\n".join([*parts, *map(str, self.events()[-12:])])


@contextmanager
def world(folder: Path, *given: Any, **named: Any) -> Iterator[World]:
    """A federation that is ended whatever happens."""
    made = World(folder, *given, **named)
    try:
        yield made
    finally:
        for process in made.processes.values():
            if process.poll() is None:
                process.terminate()
        for process in made.processes.values():
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                stop(process)
        made.processes.clear()
