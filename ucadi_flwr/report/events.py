"""Stored results → event files for TensorBoard: one of its runs for every strategy and seed.

TensorBoard is an optional dependency (``pip install ucadi-flwr[tensorboard]``) and is imported only
when its files are written.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from ucadi_flwr.errors import DataError
from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.report.costs import seconds_of
from ucadi_flwr.results.experiment import Cell, Results
from ucadi_flwr.results.layout import run_name


class Scalar(NamedTuple):
    """A value at a round; ``elapsed``: seconds of all rounds up to and including this one."""

    tag: str
    value: float
    round: int
    elapsed: float


def write_events(results: Results, folder: Path) -> None:
    """Write ``folder/<strategy>/seed<k>/events…`` for every finished cell.

    Args:
        results: the experiment.
        folder: a new or empty folder; beside old files, TensorBoard would join old and new values.

    Raises:
        DataError: TensorBoard is not installed, or the folder is not empty.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise DataError(
            "TensorBoard is not installed: pip install ucadi-flwr[tensorboard]"
        ) from None
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder}: is not an empty folder; give a new folder to --tensorboard")
    start = datetime.fromisoformat(results.created).timestamp()
    for cell in results.cells:
        if cell.error is None:
            run = folder / run_name(cell.strategy.name, cell.seed)
            with SummaryWriter(str(run)) as writer:
                for tag, value, number, elapsed in scalars(cell):
                    writer.add_scalar(tag, value, number, walltime=start + elapsed)


def scalars(cell: Cell) -> Iterator[Scalar]:
    """Losses, bytes and seconds of every round, then the AUCs of the test at the last round."""
    elapsed, last = 0.0, 0
    for record in cell.rounds:
        elapsed += record.seconds
        last = record.round
        seconds = seconds_of(record)
        values: dict[str, float | None] = {
            "loss/mean": record.loss,
            "bytes/up": record.bytes_up,
            "bytes/down": record.bytes_down,
            "seconds/round": seconds.whole,
            "seconds/training": seconds.train,
            "seconds/protection": seconds.protect,
            "seconds/adding": seconds.add,
        }
        values |= {
            f"loss/{site}": work.loss for site, work in record.sites.items() if site != ALL_SITES
        }
        for tag, value in values.items():
            if value is not None:
                yield Scalar(tag, value, record.round, elapsed)
    for model in cell.models:
        group = "test-auc" if model.trained_at == ALL_SITES else f"test-auc of {model.trained_at}"
        for site, measures in model.test.items():
            if measures.auc is not None:
                yield Scalar(f"{group}/{site}", measures.auc, last, elapsed)
