#!/usr/bin/env python3
"""Is encrypted FedAvg the same as FedAvg? Against the floor that re-ordered float32 sums give.

One process trains the same federation again and again, the same seed and the same batches; only
the sum differs:

  fedavg     the mean that this package makes, exact whatever the order
  float32-k  sums in float32, as most frameworks make them, the sites in the order k
  ucadi      the strategy's own packing and encryption, opened with the key

Rounding a sum otherwise moves a model a little, and training makes more of it. How far two
float32 orders come apart is the floor: a difference below it is no difference.

  python benchmarks/identical.py --task phantom-covid2
  python benchmarks/identical.py --task xray-pneumonia2 --data DIR
"""

import argparse
import itertools
import json
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from pathlib import Path
from typing import TypedDict

import numpy as np
import torch
from flwr.common import Scalar
from safetensors.numpy import save_file
from sklearn.metrics import roc_auc_score

from ucadi_flwr.aggregation.mean import Tensors, WeightedMean
from ucadi_flwr.data.phantom.site import write_phantom
from ucadi_flwr.data.sites import open_sites
from ucadi_flwr.exchange.agreement import Agreement, attempt_name
from ucadi_flwr.models.factory import make_model
from ucadi_flwr.models.state import read_state
from ucadi_flwr.protection.keys import NO_KEY, SiteKey
from ucadi_flwr.protection.plain import StreamingMean
from ucadi_flwr.protection.protect import make_site, make_sum
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.run_config import number_of_rounds
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe
from ucadi_flwr.results.layout import RunFolder
from ucadi_flwr.results.predictions import read_predictions
from ucadi_flwr.site.client import SiteClient


@dataclass
class Float32Mean:
    """Σ w·x / Σ w in float32, in the order of arrival: what re-ordering does change."""

    weight: int = 0
    sums: dict[str, np.ndarray] = field(default_factory=dict)

    def add(self, state: Tensors, weight: int) -> None:
        """Add one model."""
        for name, values in state.items():
            self.sums[name] = self.sums.get(name, np.float32(0)) + np.float32(weight) * values
        self.weight += weight

    def mean(self) -> dict[str, np.ndarray]:
        """The mean of those added."""
        return {name: np.asarray(v / np.float32(self.weight)) for name, v in self.sums.items()}


class Row(TypedDict):
    """Two arms compared; ``sites``: see :func:`compare`."""

    kind: str
    seed: int
    a: str
    b: str
    sites: dict[str, dict[str, float]]


def run(arm: str, task_name: str, data: str, work: str, seed: int, rounds: int) -> str:
    """Train one arm and leave its predictions in ``work/arm``; what it printed."""
    torch.set_num_threads(1)
    folder = Path(work) / f"{arm}-seed{seed}"
    if (folder / "model.safetensors").exists():
        return f"{arm} seed {seed}: kept"
    task = loader.load(TaskRecipe, task_name)
    recipe = loader.load(StrategyRecipe, "ucadi" if arm == "ucadi" else "fedavg")
    clients = [
        SiteClient(task, recipe, site, Path(work) / "cache", RunFolder(folder))
        for site in open_sites(Path(data), task).values()
    ]
    weights = {client.site.name: client.weight for client in clients}
    state = read_state(make_model(task, seed))
    shapes = {name: values.shape for name, values in state.items()}
    agreement = Agreement(recipe, f"{arm}/{seed}", shapes, len(task.classes))
    key = SiteKey.create("bfv") if arm == "ucadi" else None
    order = int(arm.removeprefix("float32-")) if arm.startswith("float32-") else 0
    mean: type[StreamingMean] = Float32Mean if arm.startswith("float32-") else WeightedMean
    begin = time.perf_counter()
    for number in range(1, rounds + 1):
        message_context = agreement.message_context("model", attempt_name(number, 0))
        context = key.context if key else NO_KEY
        total = make_sum(context, agreement.model, message_context, recipe.min_sites, mean)
        for client in clients[order:] + clients[:order]:
            settings: dict[str, Scalar] = {"server-round": number, "rounds": rounds, "seed": seed}
            arrays, _, _ = client.fit(list(state.values()), settings)
            trained = dict(zip(shapes, arrays, strict=True))
            end = make_site(key, client.site.name, recipe.min_sites)
            total.add(
                end.seal(
                    agreement.model,
                    message_context,
                    trained,
                    state,
                    client.weight,
                    sum(weights.values()),
                )
            )
        state = end.open(agreement.model, message_context, total.result()).state
    for client in clients:
        tested: dict[str, Scalar] = {"trained-at": "all", "tested": "test", "seed": seed}
        client.evaluate(list(state.values()), tested)
    save_file(dict(state), folder / "model.safetensors")
    return f"{arm} seed {seed}: {time.perf_counter() - begin:.0f} s"


def compare(work: Path, a: str, b: str, task: TaskRecipe) -> dict[str, dict[str, float]]:
    """Site → agreement of the decisions, |ΔAUC|, largest difference of a probability."""
    positive = task.classes.index(task.positive_class)
    of_sites: dict[str, dict[str, float]] = {}
    for path in sorted(RunFolder(work / a).all_predictions_of("all")):
        one = read_predictions(path, task.classes)
        other = read_predictions(RunFolder(work / b).predictions_of("all", path.stem), task.classes)
        p, q, truth = one.probabilities, other.probabilities, one.labels == positive
        of_sites[path.stem] = {
            "cases": len(truth),
            "agreement": float((p.argmax(1) == q.argmax(1)).mean()),
            "largest_probability_difference": float(np.abs(p - q).max()),
        }
        if truth.any() and not truth.all():
            aucs = [roc_auc_score(truth, scores[:, positive]) for scores in (p, q)]
            of_sites[path.stem] |= {"auc": aucs[0], "auc_difference": abs(aucs[0] - aucs[1])}
    return of_sites


def main() -> int:
    p = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument("--task", default="phantom-covid2")
    p.add_argument("--data", type=Path, help="default: the task's phantom")
    p.add_argument("--rounds", type=int, help="default: the task's epochs")
    p.add_argument("--seeds", type=int, nargs="+", default=[0])
    p.add_argument("--orders", type=int, default=3, help="float32 orders (at most: sites)")
    p.add_argument("--processes", type=int, default=2)
    p.add_argument("--json", type=Path)
    p.add_argument("--work", type=Path, help="keep predictions and models here")
    args = p.parse_args()
    task = loader.load(TaskRecipe, args.task)
    rounds = args.rounds or number_of_rounds(task, loader.load(StrategyRecipe, "fedavg"))
    arms = ["fedavg", "ucadi", *(f"float32-{k}" for k in range(args.orders))]
    with tempfile.TemporaryDirectory() as scratch:
        work = args.work or Path(scratch)
        data = args.data or work / "phantom"
        if args.data is None and task.phantom is not None and not data.exists():
            phantom = task.phantom
            write_phantom(
                data,
                sites=phantom.sites,
                cases_per_site=phantom.cases_per_site,
                seed=phantom.seed,
                shape=phantom.size,
            )
        jobs = [
            (arm, args.task, str(data), str(work), seed, rounds)
            for seed in args.seeds
            for arm in arms
        ]
        with ProcessPoolExecutor(args.processes, mp_context=get_context("spawn")) as pool:
            for done in pool.map(run, *zip(*jobs, strict=True)):
                print(done, file=sys.stderr, flush=True)
        plain = [arm for arm in arms if arm != "ucadi"]
        rows: list[Row] = []
        for seed in args.seeds:
            pairs = [(a, b, "floor") for a, b in itertools.combinations(plain, 2)]
            pairs += [(a, "ucadi", "ucadi") for a in plain]
            for a, b, kind in pairs:
                sites = compare(work, f"{a}-seed{seed}", f"{b}-seed{seed}", task)
                rows.append({"kind": kind, "seed": seed, "a": a, "b": b, "sites": sites})
    print_table(rows)
    if args.json:
        args.json.write_text(json.dumps({"task": task.name, "rounds": rounds, "rows": rows}))
    return 0


def print_table(rows: list[Row]) -> None:
    """The widest difference of each kind, by site."""
    print(f"{'site':>14} {'cases':>6} {'':>8} {'agreement ≥':>12} {'|ΔAUC| ≤':>10} {'|Δp| ≤':>8}")
    for site in rows[0]["sites"]:
        for kind in ("floor", "ucadi"):
            compared = [row["sites"][site] for row in rows if row["kind"] == kind]
            auc = max((f["auc_difference"] for f in compared if "auc" in f), default=None)
            worst = max(f["largest_probability_difference"] for f in compared)
            print(
                f"{site:>14} {compared[0]['cases']:>6} {kind:>8} "
                f"{min(f['agreement'] for f in compared):>12.4f} "
                f"{'–' if auc is None else f'{auc:.4f}':>10} {worst:>8.4f}"
            )


if __name__ == "__main__":
    sys.exit(main())
