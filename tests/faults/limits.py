"""A machine at its limits: its disk, its clock, the size of a model, the number of sites."""

import os
import re
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from members import taken
from scenario import NotRunError, Row, World, begun, judged, now, scenario, world
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
def disk_full(folder: Path) -> Row:
    """The disk of the results is full at the second checkpoint; room is made, `submit --resume`"""
    if os.geteuid() != 0:
        raise NotRunError("a small file system is mounted for it, which root may do only")
    with world(folder) as place, disk(place.out):
        begun(place)
        full = shutil.disk_usage(place.out).used + SPARE
        resize(place.out, full)
        place.finish(place.processes["submit1"], 2)
        (stopped,) = place.events("stopped")
        assert "make room and resume" in stopped["reason"], stopped
        resize(place.out, 64 * 2**20)
        place.finish(place.resume())
        said = stopped["reason"].replace(str(place.folder), "…")
        text = f"`submit` ended with 2: “{said}”; resumed after round 1; {taken(place)}"
        return judged(place, text, stopped["time"], place.round_done(2))


@scenario
def clock_off(folder: Path) -> Row:
    """The clock of a site is a day ahead; min-sites 2"""
    library = day_ahead(folder)
    with world(folder, "fedavg") as place:
        place.extra["b"] = place.extra["check"] = {"LD_PRELOAD": str(library)}
        place.start_server()
        for name in place.sizes:
            place.start_site(name)
        place.wait(lambda: all("online as" in place.said(n) for n in ("a", "c")), "two online")
        words = ("--data", place.data / "b", "--state", folder / "state-b", "--check")
        place.finish(place.start("check", "site", place.kit / "b", *words), 1)
        said = " ".join(place.said("check").replace("│", " ").split())
        ahead = re.search(r"your clock is 8640\d s ahead; set it", said)
        assert ahead, said
        place.wait(lambda: "node ended" in place.said("b"), "b turned away")
        place.submit("--sites", 2)
        place.finish(place.processes["submit1"])
        lines = place.said("b").splitlines()
        why = next(line for line in lines if "node ended" in line).split("node ended: ", 1)[1]
        text = f"its own log: “{why}”; `ucadi site --check`: “{ahead[0]} …”; {taken(place)}"
        return judged(place, text, now(), None)


@scenario
def large_model(folder: Path) -> Row:
    """A model of 300 MB (float32, unencrypted), two sites, one round"""
    with world(folder, "fedavg", 1, {"a": 8, "b": 4}) as place:
        narrow = place.task.read_text(encoding="utf-8")
        place.task.write_text(narrow.replace("width: 2, growth: 2", WIDE), encoding="utf-8")
        place.start_server()
        place.start_sites()
        with peaks(place) as found:
            begin = now()
            place.submit()
            place.finish(place.processes["submit1"])
        size = (place.out / "server" / "model.safetensors").stat().st_size
        used = ", ".join(f"{name} {peak / 2**30:.1f} GiB" for name, peak in sorted(found.items()))
        text = f"{size / 1e6:.0f} MB of model; most memory used: {used}"
        return judged(place, text, begin, place.round_done(1))


@scenario
def many_sites(folder: Path) -> Row:
    """20 sites on one machine, one round; round-timeout 400 s"""
    sizes = {f"s{number:02}": 4 for number in range(MANY)}
    with world(folder, "bounded", 1, sizes, recipe=BOUNDED) as place:
        place.start_server()
        place.start_sites()
        begin = now()
        place.submit()
        place.finish(place.processes["submit1"], patience=2 * PATIENCE)
        (tested,) = place.events("tested")
        asked = sum("asked again" in event["text"] for event in place.events("log"))
        text = (
            f"{MANY} SuperNodes; {len(place.events('answer'))} answers in the round, "
            f"{len(tested['sites'])} in the test, {asked} of them asked again"
        )
        return judged(place, text, begin, place.round_done(1), BOUNDED)


@contextmanager
def disk(path: Path) -> Iterator[None]:
    """A small file system there."""
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", path], check=True)
    kept = path.with_name("kept")
    try:
        yield
    finally:
        shutil.copytree(path, kept)
        subprocess.run(["umount", "--lazy", path], check=True)


def resize(path: Path, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={size}", path], check=True)


def day_ahead(folder: Path) -> Path:
    """The library to preload, compiled."""
    if (compiler := shutil.which("cc")) is None:
        raise NotRunError("a C compiler is needed for it")
    made, source = folder / "day_ahead.so", Path(__file__).with_name("day_ahead.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-o", made, source, "-ldl"], check=True)
    return made


@contextmanager
def peaks(place: World) -> Iterator[dict[str, int]]:
    """The most memory (resident) that each of Flower's programs used, looked at twice a second."""
    found: dict[str, int] = {}
    over = threading.Event()
    wanted = {"SuperLink": "flower-superlink", "ServerApp": "flwr-serverapp"}

    def watch() -> None:
        while not over.wait(0.5):
            for name, program in wanted.items():
                for process in place.find("server", program):
                    try:
                        found[name] = max(found.get(name, 0), process.memory_info().rss)
                    except psutil.Error:
                        continue

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        over.set()
        thread.join()
