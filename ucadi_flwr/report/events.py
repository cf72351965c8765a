"""Stored results → event files that TensorBoard shows: a run for every strategy and seed.

TensorBoard is not installed with this package (``pip install ucadi-flwr[tensorboard]``), and is
looked for only when its files are asked for.
"""

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from ucadi_flwr.errors import DataError
from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.report.costs import seconds_of
from ucadi_flwr.results.experiment import Cell, Results


class Scalar(NamedTuple):
    """A value at a round; ``elapsed``: seconds of all rounds until then."""

    tag: str
    value: float
    round: int
    elapsed: float


def write_events(results: Results, folder: Path) -> None:
    """Write ``folder/<strategy>/seed<k>/events…`` of every finished cell.

    Raises :class:`DataError` if TensorBoard is not installed, or if the folder holds anything:
    TensorBoard would show old and new values as one line.
    """
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise DataError(
            "TensorBoard is not installed: pip install ucadi-flwr[tensorboard]"
        ) from None
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise DataError(f"{folder}: is not an empty folder; name a new one for --tensorboard")
    start = datetime.fromisoformat(results.created).timestamp()
    for cell in results.cells:
        if cell.error is None:
            run = folder / cell.strategy.name / f"seed{cell.seed}"
            with SummaryWriter(str(run)) as writer:
                for one in scalars(cell):
                    writer.add_scalar(one.tag, one.value, one.round, walltime=start + one.elapsed)


def scalars(cell: Cell) -> Iterator[Scalar]:
    """Losses, bytes and seconds by round, then the test's AUCs at the last round."""
    elapsed, last = 0.0, 0
    for record in cell.rounds:
        elapsed += record.seconds
        last = record.round
        spent = seconds_of(record)
        found: dict[str, float | None] = {
            "loss/mean": record.loss,
            "bytes/up": record.bytes_up,
            "bytes/down": record.bytes_down,
            "seconds/round": spent.whole,
            "seconds/training": spent.train,
            "seconds/protection": spent.protect,
            "seconds/adding": spent.add,
        }
        found |= {
            f"loss/{site}": work.loss for site, work in record.sites.items() if site != ALL_SITES
        }
        for tag, value in found.items():
            if value is not None:
                yield Scalar(tag, value, record.round, elapsed)
    for model in cell.models:
        group = "test-auc" if model.trained_at == ALL_SITES else f"test-auc of {model.trained_at}"
        for site, figures in model.test.items():
            if figures.auc is not None:
                yield Scalar(f"{group}/{site}", figures.auc, last, elapsed)
