"""How often should sites synchronise? S0, figure 5: equal total epochs, different intervals.

Test performance against time, which is divided into training, protection, transmission (bytes over
a bandwidth) and the rest of each round.
"""

import csv
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from statistics import fmean

from rich.box import SIMPLE
from rich.console import Console
from rich.table import Table

from ucadi_flwr.errors import RecipeError
from ucadi_flwr.files.atomic import replacing
from ucadi_flwr.report.costs import seconds_of
from ucadi_flwr.results.experiment import Cell, Results
from ucadi_flwr.results.layout import ExperimentFolder


@dataclass(frozen=True)
class SyncSetting:
    """One strategy at one interval, in epochs; means over seeds, seconds of a whole run."""

    strategy: str
    local_epochs: int
    rounds: int
    seeds: int
    auc: float | None
    accuracy: float
    train_s: float
    protect_s: float
    transmit_s: float
    wait_s: float

    @property
    def total_s(self) -> float:
        """Seconds of the whole run over a network of this bandwidth."""
        return self.train_s + self.protect_s + self.transmit_s + self.wait_s


def check_intervals(local_epochs: Sequence[int], total_epochs: int) -> None:
    """Raise :class:`RecipeError` unless every interval divides the total: equal training.

    >>> check_intervals([1, 2, 5, 10], total_epochs=20)
    """
    if total_epochs < 1:
        raise RecipeError(f"--total-epochs {total_epochs}: must be at least 1")
    for interval in local_epochs:
        if interval < 1 or total_epochs % interval:
            raise RecipeError(
                f"--local-epochs {interval}: does not divide --total-epochs {total_epochs}; the "
                "runs would not train for the same number of epochs"
            )


def sync_settings(results: Results, bandwidth: int) -> list[SyncSetting]:
    """One row for each strategy and interval that finished, in the document's order.

    Args:
        results: the experiment.
        bandwidth: bytes/s between a site and the server.
    """
    groups: dict[str, list[Cell]] = {}
    for cell in results.cells:
        if cell.error is None and cell.rounds:
            groups.setdefault(cell.strategy.name, []).append(cell)
    return [_sync_setting(name, cells, bandwidth) for name, cells in groups.items()]


def _sync_setting(name: str, cells: list[Cell], bandwidth: int) -> SyncSetting:
    tests = [test for cell in cells for model in cell.models for test in model.test.values()]
    aucs = [test.auc for test in tests if test.auc is not None]
    rounds = [[seconds_of(record) for record in cell.rounds] for cell in cells]
    sites = max(len(record.sites) for cell in cells for record in cell.rounds)
    sent = fmean(sum(r.bytes_up + r.bytes_down for r in cell.rounds) for cell in cells)
    return SyncSetting(
        strategy=name,
        local_epochs=next(iter(cells[0].rounds[0].sites.values())).epochs,
        rounds=len(cells[0].rounds),
        seeds=len(cells),
        auc=fmean(aucs) if aucs else None,
        accuracy=fmean(test.accuracy for test in tests),
        train_s=fmean(sum(s.train for s in run) for run in rounds),
        protect_s=fmean(sum(s.protect + s.add for s in run) for run in rounds),
        transmit_s=sent / sites / bandwidth,
        wait_s=fmean(sum(s.rest for s in run) for run in rounds),
    )


def write_study(out: Path, results: Results, bandwidth: int, console: Console) -> Path:
    """Write the table as CSV beside the report, and print it; the file's path.

    Args:
        out: folder of the experiment.
        results: the experiment.
        bandwidth: bytes/s between a site and the server.
        console: where to print.
    """
    rows = sync_settings(results, bandwidth)
    path = ExperimentFolder(out).sync_study
    with replacing(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, [*(f.name for f in fields(SyncSetting)), "total_s"])
        writer.writeheader()
        writer.writerows({**asdict(row), "total_s": row.total_s} for row in rows)
    title = f"Equal total epochs, {bandwidth / 1e3:g} KB/s between site and server, in seconds"
    table = Table(title=title, box=SIMPLE, padding=0, show_edge=False)  # of at most 80 characters
    table.add_column("strategy", overflow="fold")
    names = ("local\nepochs", "rounds", "AUC", "accu-\nracy")
    for name in (*names, "train", "protect", "transmit", "wait", "total"):
        table.add_column(name, justify="right", no_wrap=True)
    for row in rows:
        times = (row.train_s, row.protect_s, row.transmit_s, row.wait_s, row.total_s)
        table.add_row(
            row.strategy,
            str(row.local_epochs),
            str(row.rounds),
            "–" if row.auc is None else f"{row.auc:.3f}",
            f"{row.accuracy:.3f}",
            *(f"{value:.1f}" for value in times),
        )
    console.print(table)
    return path
