"""Limits of a machine: its disk, its clock, the size of a model, the number of sites."""

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from members import sites_by_round
from scenario import NotRunError, Outcome, World, conclude, now, open_world, scenario, start_run
from world import PATIENCE

SPARE = 16 * 2**10
"""Bytes left on the full disk: room for a line in the journal, none for a checkpoint."""

WIDE = "width: 330, growth: 330"
MANY = 20
BOUNDED = """\
weights: size-epochs
min-sites: 2
round-timeout: 400.0"""
"""Flower loses answers when twenty come at once: they are not waited for as long as usual."""


@scenario
def disk_full(folder: Path) -> Outcome:
    """The disk of the results is full at the second checkpoint; room is made, `submit --resume`"""
    if os.geteuid() != 0:
        raise NotRunError("a small file system is mounted for it, which only root may do")
    with open_world(folder) as world, disk(world.out):
        start_run(world)
        full = shutil.disk_usage(world.out).used + SPARE
        resize(world.out, full)
        world.finish(world.processes["submit1"], 2)
        (stopped,) = world.events("stopped")
        assert "make room and resume" in stopped["reason"], stopped
        resize(world.out, 64 * 2**20)
        world.finish(world.resume())
        reason = stopped["reason"].replace(str(world.folder), "…")
        text = f"`submit` ended with 2: “{reason}”; resumed after round 1; {sites_by_round(world)}"
        return conclude(world, text, stopped["time"], world.round_done(2))


@scenario
def clock_off(folder: Path) -> Outcome:
    """The clock of a site is a day ahead; min-sites 2"""
    library = day_ahead(folder)
    with open_world(folder, "fedavg") as world:
        world.variables["b"] = world.variables["check"] = {"LD_PRELOAD": str(library)}
        world.start_server()
        for name in world.sizes:
            world.start_site(name)
        world.wait(lambda: all("online as" in world.output(n) for n in ("a", "c")), "two online")
        words = ("--data", world.data / "b", "--state", folder / "state-b", "--check")
        world.finish(world.start("check", "site", world.kit / "b", *words), 1)
        table = " ".join(world.output("check").replace("│", " ").split())
        ahead = re.search(r"your clock is 8640\d s ahead; set it", table)
        assert ahead, table
        world.wait(lambda: "node ended" in world.output("b"), "the refusal of b")
        world.submit("--sites", 2)
        world.finish(world.processes["submit1"])
        lines = world.output("b").splitlines()
        why = next(line for line in lines if "node ended" in line).split("node ended: ", 1)[1]
        text = (
            f"its own log: “{why}”; `ucadi site --check`: “{ahead[0]} …”; {sites_by_round(world)}"
        )
        return conclude(world, text, now(), None)


@scenario
def large_model(folder: Path) -> Outcome:
    """A model of 300 MB (float32, unencrypted), two sites, one round"""
    with open_world(folder, "fedavg", 1, {"a": 8, "b": 4}) as world:
        narrow = world.task.read_text(encoding="utf-8")
        world.task.write_text(narrow.replace("width: 2, growth: 2", WIDE), encoding="utf-8")
        world.start_server()
        world.start_sites()
        with peaks(world) as memory:
            begin = now()
            world.submit()
            world.finish(world.processes["submit1"])
        size = (world.out / "server" / "model.safetensors").stat().st_size
        used = ", ".join(f"{name} {peak / 2**30:.1f} GiB" for name, peak in sorted(memory.items()))
        text = f"{size / 1e6:.0f} MB of model; most memory used: {used}"
        return conclude(world, text, begin, world.round_done(1))


@scenario
def many_sites(folder: Path) -> Outcome:
    """20 sites on one machine, one round; round-timeout 400 s"""
    sizes = {f"s{number:02}": 4 for number in range(MANY)}
    with open_world(folder, "bounded", 1, sizes, recipe=BOUNDED) as world:
        world.start_server()
        world.start_sites()
        begin = now()
        world.submit()
        world.finish(world.processes["submit1"], patience=2 * PATIENCE)
        (tested,) = world.events("tested")
        asked = sum("asked again" in event["text"] for event in world.events("log"))
        text = (
            f"{MANY} SuperNodes; {len(world.events('answer'))} answers in the round, "
            f"{len(tested['sites'])} in the test, {asked} of them asked again"
        )
        return conclude(world, text, begin, world.round_done(1), BOUNDED)


@contextmanager
def disk(path: Path) -> Iterator[None]:
    """Mount a small file system at a path; at the end copy its files, and unmount it."""
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", path], check=True)
    try:
        yield
    finally:
        shutil.copytree(path, path.with_name("kept"))
        subprocess.run(["umount", "--lazy", path], check=True)


def resize(path: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", path], check=True)


def day_ahead(folder: Path) -> Path:
    """Compile the library that processes preload for a clock that is a day ahead."""
    if (compiler := shutil.which("cc")) is None:
        raise NotRunError("a C compiler is needed for it")
    library, source = folder / "day_ahead.so", Path(__file__).with_name("day_ahead.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", library, source, "-ldl"], check=True)
    return library


@contextmanager
def peaks(world: World) -> Iterator[dict[str, int]]:
    """The largest resident memory of Flower's programs, in bytes, sampled twice a second."""
    memory: dict[str, int] = {}
    over = threading.Event()
    programs = {"SuperLink": "flower-superlink", "ServerApp": "flwr-serverapp"}

    def watch() -> None:
        while not over.wait(0.5):
            for name, program in programs.items():
                for process in world.find("server", program):
                    try:
                        memory[name] = max(memory.get(name, 0), process.memory_info().rss)
                    except psutil.Error:
                        continue

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield memory
    finally:
        over.set()
        thread.join()
