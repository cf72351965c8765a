#!/usr/bin/env python3
r"""Compare strategies on one task, in a simulation on this machine.

Example:
  python run_sim.py --task phantom-covid2 --strategy local central fedavg --seeds 0 1

Compare intervals of synchronisation, at equal total epochs:
  python run_sim.py sync-study --task phantom-covid2 --strategy fedavg ucadi \
      --local-epochs 1 2 5 10 --total-epochs 20

Every strategy × seed is one run on Flower's simulation engine. The recipes are in tasks/ and
strategies/. --data is a folder with manifest.csv (columns file, label, patient, and site if there
are several sites) or a folder of such folders.
"""

import argparse
import re
import shlex
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, NoReturn

from rich.console import Console

from ucadi_flwr.errors import RecipeError, reporting_errors
from ucadi_flwr.recipes import loader
from ucadi_flwr.results.experiment import read_results
from ucadi_flwr.simulation.grid import run_experiment
from ucadi_flwr.simulation.plan import make_plan
from ucadi_flwr.simulation.sync_study import check_intervals, write_study

STUDY_RATE = "900KB/s"
"""The bandwidth of S0's measurements, default of ``run_sim.py sync-study``."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """Print one line, like every other error, and exit with 2."""
        self.exit(2, f"error: {message} (see {self.prog} --help)\n")


def parser(study: bool = False) -> argparse.ArgumentParser:
    """The parser of the flags; ``study``: of the flags of ``run_sim.py sync-study``."""
    p = _Parser(
        prog="run_sim.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    p.add_argument(
        "--task", required=True, metavar="NAME|FILE", help="the task recipe: what is diagnosed"
    )
    p.add_argument(
        "--strategy",
        required=True,
        nargs="+",
        metavar="NAME|FILE",
        help="strategy recipes: how the sites learn",
    )
    p.add_argument(
        "--data", type=Path, metavar="DIR", help="the images; default: the task's phantom"
    )
    p.add_argument("--sites", type=int, metavar="N", help="divide a one-site folder into N sites")
    if study:
        p.add_argument(
            "--local-epochs",
            type=int,
            nargs="+",
            required=True,
            metavar="E",
            help="intervals to compare: epochs between two rounds",
        )
        p.add_argument(
            "--total-epochs",
            type=int,
            required=True,
            metavar="N",
            help="epochs of every run; each interval divides it",
        )
    else:
        p.add_argument(
            "--rounds",
            type=int,
            metavar="R",
            help="number of rounds; default: enough for the task's epochs",
        )
        p.add_argument(
            "--local-epochs",
            type=int,
            metavar="E",
            help="epochs between two rounds; default: the strategy's",
        )
    p.add_argument(
        "--initial-model", type=Path, metavar="FILE", help="start from it; default: random weights"
    )
    p.add_argument(
        "--seeds",
        type=int,
        nargs="+",
        default=[0],
        metavar="S",
        help="one run for each; default: 0",
    )
    p.add_argument(
        "--set",
        nargs="+",
        default=[],
        action="extend",
        metavar="KEY=VALUE",
        help="change keys of the recipes, such as training.epochs=20 or proximal-mu=0.1",
    )
    p.add_argument(
        "--hold-out",
        nargs="+",
        default=[],
        metavar="SITE",
        help="test these sites, do not train on them",
    )
    p.add_argument(
        "--folds",
        type=int,
        default=0,
        metavar="K",
        help="cross-validate with K folds, and test the chosen one",
    )
    p.add_argument(
        "--readers", type=Path, metavar="CSV", help="readers' calls, columns case,reader,call"
    )
    p.add_argument(
        "--bandwidth",
        default=STUDY_RATE if study else "",
        metavar="RATE",
        help="show transmission times at this rate, such as 900KB/s, that of S0",
    )
    p.add_argument(
        "--resume", action="store_true", help="continue with the runs that --out does not hold yet"
    )
    p.add_argument(
        "--out",
        type=Path,
        metavar="DIR",
        help="folder of the results; default: runs/TASK-DATE-TIME",
    )
    return p


def parse_settings(assignments: Sequence[str]) -> dict[str, Any]:
    """``KEY=VALUE`` texts → key → value, read as YAML; raise :class:`RecipeError` for others.

    >>> parse_settings(["training.epochs=20"])
    {'training.epochs': 20}
    """
    settings = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not key or not equals:
            raise RecipeError(f"--set {assignment}: write KEY=VALUE, such as training.epochs=20")
        settings[key] = loader.parse(text, f"--set {key}")
    return settings


def parse_rate(text: str) -> int:
    """A bandwidth as text → bytes/s; 0 for an empty text. Raise :class:`RecipeError` for others.

    >>> parse_rate("900KB/s"), parse_rate("10Mbit/s")
    (900000, 1250000)
    """
    if not text:
        return 0
    match = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*([kKMG]?)(B|bit)/s", text)
    if not match or not float(match[1]):
        raise RecipeError(f"--bandwidth {text}: write a rate such as 900KB/s or 10Mbit/s")
    scale = {"": 1, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9}[match[2]]
    return max(1, round(float(match[1]) * scale / (1 if match[3] == "B" else 8)))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run an experiment with the flags of the command line; the exit status."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    study = words[:1] == ["sync-study"]
    args = parser(study).parse_args(words[study:])
    now = datetime.now().astimezone()
    with reporting_errors():
        changes = parse_settings(args.set)
        if study:
            check_intervals(args.local_epochs, args.total_epochs)
            changes["training.epochs"] = args.total_epochs
        plan = make_plan(
            args.task,
            args.strategy,
            seeds=args.seeds,
            out=args.out or Path("runs") / f"{Path(args.task).stem}-{now:%Y%m%d-%H%M%S}",
            data=args.data,
            sites=args.sites,
            rounds=None if study else args.rounds,
            local_epochs=None if study else args.local_epochs,
            intervals=args.local_epochs if study else (),
            settings=changes,
            hold_out=args.hold_out,
            folds=args.folds,
            readers=args.readers,
            initial=args.initial_model,
            resume=args.resume,
            bandwidth=parse_rate(args.bandwidth),
            command=shlex.join(["run_sim.py", *words]),
        )
        report = run_experiment(plan)
        if study:
            results = read_results(plan.folder.results)
            print(f"study: {write_study(plan.out, results, plan.bandwidth, Console())}")
        print(f"report: {report}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
