"""What protection costs: bytes, CPU seconds, error and memory of one round, scheme by scheme.

    python benchmarks/protection.py --values 700000 --sites 5 --json protection.json

Each row runs in separate processes, in turn with the others, and is the median of ``--repeats``.
Seconds are CPU seconds: ``encrypt`` and ``decrypt`` of one site (the mean over the sites, over the
first five for ``decrypt``), ``add`` of one contribution at the server, ``result`` what the server
does once a round. ``site_bytes`` is the peak memory of one encryption or decryption above the level
before it, in bytes for each value (Linux; elsewhere nan). Rows:

- ``plaintext``, ``bfv-2``, ``bfv-3``, ``bfv-4``, ``ckks``: this project's protection.
- ``nvflare-ckks``: the method of NVFlare's HE filters (8192, [60, 40, 40], 2^40, symmetric): one
  TenSEAL vector for each tensor; the server multiplies the sum by 1/Σn, which costs a level and
  halves the size of the result.
- ``nvflare-ckks-flat``: the same settings with one vector for the whole model, which is best on the
  way up, and a sum that is returned as it is.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
import tenseal as ts

from ucadi_flwr.aggregation.mean import WeightedMean
from ucadi_flwr.protection.encoding.layout import Layout
from ucadi_flwr.protection.frame import MessageContext
from ucadi_flwr.protection.keys import NO_KEY, SiteKey
from ucadi_flwr.protection.plan import ModelPlan
from ucadi_flwr.protection.protect import make_site, make_sum

State = dict[str, np.ndarray]
Result = TypeVar("Result")
Blob = TypeVar("Blob", bytes, list[bytes])

ROWS = [
    "plaintext", "bfv-2", "bfv-3", "bfv-4", "ckks", "nvflare-ckks", "nvflare-ckks-flat",
]  # fmt: skip
CONTEXT = MessageContext("benchmark", 1)


def shapes(values: int) -> dict[str, tuple[int, ...]]:
    """Tensors of the 3D-DenseNet's form, ``values`` in all, under 1 % of them in small tensors."""
    layer: dict[str, tuple[int, ...]] = {"conv1": (128, 112, 1, 1, 1), "bias1": (128,)}
    layer |= {f"norm1.{i}": (112,) for i in range(4)}
    layer |= {"conv2": (32, 128, 3, 3, 3), "bias2": (32,)}
    layer |= {f"norm2.{i}": (128,) for i in range(4)}
    tensors: dict[str, tuple[int, ...]] = {}
    number, left = 0, values
    while left:
        for name, shape in layer.items():
            size = min(left, int(np.prod(shape)))
            if size:
                whole = size == np.prod(shape)
                tensors[f"{number}.{name}"] = shape if whole else (1, size)
            left -= size
        number += 1
    return tensors


def models(values: int, sites: int) -> Iterator[tuple[State, int]]:
    """Each site's model and weight, one at a time."""
    for site in range(sites):
        rng = np.random.default_rng(site)
        yield (
            {n: rng.normal(0, 0.05, s).astype(np.float32) for n, s in shapes(values).items()},
            100 + 37 * site,
        )


class _Clock:
    """CPU seconds by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    def __call__(self, name: str, work: Callable[[], Result]) -> Result:
        start = time.process_time()
        result = work()
        spent = time.process_time() - start
        self.seconds[name] = self.seconds.get(name, 0.0) + spent
        return result


class _Peak:
    """The largest peak of memory that a call had above the level before it, in bytes."""

    def __init__(self) -> None:
        self.bytes = 0.0

    def __call__(self, work: Callable[[], Result]) -> Result:
        if not sys.platform.startswith("linux"):
            self.bytes = float("nan")
            return work()
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # resets the peak
        before = _status("VmRSS")
        result = work()
        self.bytes = max(self.bytes, _status("VmHWM") - before)
        return result


def _status(name: str) -> int:
    """A size in this process's ``/proc/self/status``, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    line = next(line for line in lines if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


class _Round(Protocol[Blob]):
    """One round by one method; a contribution is bytes, or a list of bytes."""

    total: int

    def encrypt(self, number: int, state: State, weight: int) -> Blob: ...
    def add(self, blob: Blob) -> None: ...
    def result(self) -> Blob: ...
    def decrypt(self, blob: Blob) -> State: ...


class _Protection:
    """One round with this project's protection."""

    def __init__(self, row: str, values: int, sites: int) -> None:
        scheme, _, packing = row.partition("-")
        scheme = "none" if scheme == "plaintext" else scheme
        self.key = None if scheme == "none" else SiteKey.create(scheme)
        plan_sites = max(128, sites)
        self.plan = ModelPlan(scheme, Layout(shapes(values)), int(packing or 3), plan_sites)
        self.reference = next(models(values, 1))[0]
        context = self.key.context if self.key else NO_KEY
        self.sum = make_sum(context, self.plan, CONTEXT, 1, WeightedMean)
        self.total = sum(weight for _, weight in models(values, sites))

    def encrypt(self, number: int, state: State, weight: int) -> bytes:
        site = make_site(self.key, f"site-{number}", 1)
        return site.seal(self.plan, CONTEXT, state, self.reference, weight, self.total)

    def add(self, blob: bytes) -> None:
        self.sum.add(blob)

    def result(self) -> bytes:
        return self.sum.result()

    def decrypt(self, blob: bytes) -> State:
        return make_site(self.key, "site-0", 1).open(self.plan, CONTEXT, blob).state


class _NVFlare:
    """One round by the method of NVFlare's HEModelEncryptor, HEInTimeAccumulate… and decryptor."""

    def __init__(self, row: str, values: int, sites: int) -> None:
        self.flat, self.layout = row.endswith("flat"), Layout(shapes(values))
        self.context = ts.context(
            ts.SCHEME_TYPE.CKKS,
            poly_modulus_degree=8192,
            coeff_mod_bit_sizes=[60, 40, 40],
            encryption_type=ts.ENCRYPTION_TYPE.SYMMETRIC,
        )
        self.context.generate_relin_keys()
        self.context.global_scale = 2**40
        self.total = sum(weight for _, weight in models(values, sites))
        self.sums: list[ts.CKKSVector] = []

    def encrypt(self, number: int, state: State, weight: int) -> list[bytes]:
        vectors = [self.layout.flatten(state)] if self.flat else [a.ravel() for a in state.values()]
        scale = np.float64(weight / self.total if self.flat else weight)
        return [ts.ckks_vector(self.context, v * scale).serialize() for v in vectors]

    def add(self, blobs: list[bytes]) -> None:
        loaded = [ts.ckks_vector_from(self.context, blob) for blob in blobs]
        pairs = zip(self.sums or [0] * len(loaded), loaded, strict=True)
        self.sums = [a + b if self.sums else b for a, b in pairs]

    def result(self) -> list[bytes]:
        if self.flat:
            return [v.serialize() for v in self.sums]
        return [(v * (1.0 / self.total)).serialize() for v in self.sums]

    def decrypt(self, blobs: list[bytes]) -> State:
        vectors = [
            np.array(ts.ckks_vector_from(self.context, b).decrypt(), np.float32) for b in blobs
        ]
        if self.flat:
            return self.layout.unflatten(vectors[0])
        tensors = self.layout.shapes.items()
        return {n: v.reshape(s) for (n, s), v in zip(tensors, vectors, strict=True)}


def size(blob: bytes | list[bytes]) -> int:
    return len(blob) if isinstance(blob, bytes) else sum(map(len, blob))


def measure(row: str, values: int, sites: int) -> dict[str, float]:
    """One row once, in this process."""
    if row.startswith("nvflare"):
        return measure_round(_NVFlare(row, values, sites), values, sites)
    return measure_round(_Protection(row, values, sites), values, sites)


def measure_round(one_round: _Round[Blob], values: int, sites: int) -> dict[str, float]:
    clock, peak, up = _Clock(), _Peak(), 0
    exact = {n: np.zeros(s) for n, s in shapes(values).items()}
    for number, (state, weight) in enumerate(models(values, sites)):
        for name, array in state.items():
            exact[name] += array.astype(np.float64) * (weight / one_round.total)
        encrypt = partial(one_round.encrypt, number, state, weight)
        blob = peak(partial(clock, "encrypt", encrypt))
        clock("add", partial(one_round.add, blob))
        up = size(blob)
    down = clock("result", one_round.result)
    readers = min(sites, 5)
    for _ in range(readers):
        opened = peak(partial(clock, "decrypt", partial(one_round.decrypt, down)))
    errors = np.concatenate([np.abs(opened[n] - exact[n]).ravel() for n in exact])
    unit = 1 if sys.platform == "darwin" else 1024  # of ru_maxrss, in bytes
    return {
        "bytes_up_per_value": up / values,
        "bytes_down_per_value": size(down) / values,
        "encrypt_cpu_s": clock.seconds["encrypt"] / sites,
        "add_cpu_s": clock.seconds["add"] / sites,
        "result_cpu_s": clock.seconds["result"],
        "decrypt_cpu_s": clock.seconds["decrypt"] / readers,
        "max_abs_error": float(errors.max()),
        "mean_abs_error": float(errors.mean()),
        "site_bytes_per_value": peak.bytes / values,
        "peak_rss_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20,
    }


def in_a_process(row: str, values: int, sites: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--values", str(values), "--sites", str(sites)]
    process = subprocess.run(  # noqa: S603 - this file
        [*command, "--one", row], check=True, capture_output=True, text=True
    )
    return dict(json.loads(process.stdout.splitlines()[-1]))


def print_table(rows: list[dict[str, Any]]) -> None:
    columns = [name for name in rows[0] if name not in ("values", "sites")]
    print(f"{rows[0]['values']:,} values, {rows[0]['sites']} sites")
    print("  ".join(name.removesuffix("_per_value").rjust(17) for name in columns))
    for row in rows:
        cells = (row[c] if c == "scheme" else f"{row[c]:.3g}" for c in columns)
        print("  ".join(cell.rjust(17) for cell in cells))


def print_ratios(rows: list[dict[str, Any]]) -> None:
    by_name = {row["scheme"]: row for row in rows}

    def cpu(row: dict[str, Any]) -> float:
        return float(row["encrypt_cpu_s"] + row["decrypt_cpu_s"])

    for base in (name for name in by_name if name.startswith("nvflare")):
        for name in (name for name in by_name if not name.startswith("nvflare")):
            ours, other = by_name[name], by_name[base]
            print(
                f"{name:>9} against {base}: {cpu(other) / cpu(ours):.1f} × less CPU, "
                f"{other['bytes_up_per_value'] / ours['bytes_up_per_value']:.1f} × fewer bytes up, "
                f"{other['bytes_down_per_value'] / ours['bytes_down_per_value']:.1f} × fewer down"
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--values", type=int, default=700_000)
    parser.add_argument("--sites", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--rows", nargs="+", choices=ROWS, default=ROWS)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--one", choices=ROWS, help=argparse.SUPPRESS)
    flags = parser.parse_args()
    if flags.one:
        print(json.dumps(measure(flags.one, flags.values, flags.sites)))
        return
    runs: dict[str, list[dict[str, float]]] = {row: [] for row in flags.rows}
    for _ in range(flags.repeats):
        for row in flags.rows:
            runs[row].append(in_a_process(row, flags.values, flags.sites))
    table = [
        {"scheme": row, "values": flags.values, "sites": flags.sites}
        | {name: statistics.median(run[name] for run in repeats) for name in repeats[0]}
        for row, repeats in runs.items()
    ]
    print_table(table)
    print_ratios(table)
    if flags.json:
        flags.json.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
