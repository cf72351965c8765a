"""What a large model takes: memory, bytes and time of a simulated round with three sites.

    python benchmarks/large_model.py --json large_model.json

Trains S2's VGG16 (134 million values with three classes) for one epoch on a few computed images at
each of three sites (they say nothing about a disease), with each strategy in turn; a site a core
works at the same time. Memory is the proportional set size (Linux's PSS: shared pages counted once)
of run_sim.py and all processes below it, looked at ``--every`` seconds; the peak is of their sum.
"""

import argparse
import csv
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
CLASSES = ("covid", "normal", "pneumonia")
SIDE = 224

PROGRAMS = {"sites": "ray::", "run_sim.py": "run_sim.py"}
"""A program by what its command line has; the rest is Flower's engine with the server in it."""


def make_sites(folder: Path, cases: int) -> None:
    """Three sites of so many grey images of each class, of noise around a grey of the class."""
    rng = np.random.default_rng(0)
    with (folder / "manifest.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(["file", "site", "label", "patient"])
        for site in "abc":
            for i, label in enumerate(CLASSES * cases):
                name = f"{site}{i}.png"
                grey = rng.normal(64 + 64 * (i % 3), 16, (SIDE, SIDE)).clip(0, 255)
                Image.fromarray(grey.astype(np.uint8)).save(folder / name)
                rows.writerow([name, site, label, f"{site}{i}"])


def memory(root: psutil.Process) -> dict[str, int]:
    """Bytes (PSS) of a process and all below it, by what they are."""
    sizes: dict[str, int] = {}
    for process in [root, *root.children(recursive=True)]:
        try:
            words = " ".join(process.cmdline())
            size = process.memory_full_info().pss
        except psutil.Error:
            continue
        name = next((name for name, mark in PROGRAMS.items() if mark in words), "engine")
        sizes[name] = sizes.get(name, 0) + size
    return sizes


def measure(strategy: str, data: Path, folder: Path, every: float) -> dict[str, Any]:
    """One run: seconds, the bytes of its round a site, and the most memory that it took."""
    out = folder / strategy
    words = ["--task", "xray-covid3", "--data", data, "--strategy", strategy, "--out", out]
    settings = ["model.name=vgg16", "training.epochs=1", "training.batch-size=4"]
    command = [sys.executable, ROOT / "run_sim.py", *words, "--rounds", "1", "--set", *settings]
    begin = time.perf_counter()
    run = subprocess.Popen(list(map(str, command)))  # noqa: S603 - this project's
    root, peak, parts = psutil.Process(run.pid), 0, dict[str, int]()
    while run.poll() is None:
        now = memory(root)
        peak = max(peak, sum(now.values()))
        parts = {name: max(now.get(name, 0), parts.get(name, 0)) for name in now | parts}
        time.sleep(every)
    if run.returncode:
        sys.exit(f"{strategy}: run_sim.py ended with {run.returncode}")
    seconds = time.perf_counter() - begin
    cell = json.loads((out / "results.json").read_text(encoding="utf-8"))["cells"][0]
    done, sites = cell["rounds"][0], len(cell["rounds"][0]["sites"])
    sent = {name: done[name] / sites for name in ("bytes_up", "bytes_down")}
    return {"strategy": strategy, "seconds": seconds, **sent, "peak": peak, "parts": parts}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--strategies", nargs="+", default=["fedavg", "ucadi"])
    parser.add_argument("--cases", type=int, default=2, help="of each class at each site")
    parser.add_argument("--every", type=float, default=0.5, help="seconds")
    parser.add_argument("--json", type=Path)
    flags = parser.parse_args()
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = folder / "data"
        data.mkdir()
        make_sites(data, flags.cases)
        for strategy in flags.strategies:
            rows.append(measure(strategy, data, folder, flags.every))
    for row in rows:
        parts = ", ".join(f"{name} {size / 1e9:.1f}" for name, size in sorted(row["parts"].items()))
        sent = f"{row['bytes_up'] / 1e6:.0f} MB up and {row['bytes_down'] / 1e6:.0f} MB down a site"
        print(f"{row['strategy']}: {row['seconds']:.0f} s, {sent}; at most", end=" ")
        print(f"{row['peak'] / 1e9:.1f} GB of memory (each at most, GB: {parts})")
    if flags.json:
        flags.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
