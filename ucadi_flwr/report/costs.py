"""The costs of runs: seconds by kind of work; bytes by site, round and run."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.report.tables import finished_cells
from ucadi_flwr.results.experiment import Cell, Results
from ucadi_flwr.results.rounds import RoundRecord


@dataclass(frozen=True)
class Seconds:
    """The wall time of one round, or the mean of several, in seconds.

    Attributes:
        whole: the whole round.
        train: training at the slowest site, because a round waits for it.
        protect: decryption and encryption at that site.
        add: the server's addition of the updates.
        rest: the remainder: transport, tests and, if one machine simulates all sites, waiting.
    """

    whole: float
    train: float
    protect: float
    add: float
    rest: float


@dataclass(frozen=True)
class Cost:
    """Means over the finished runs of one strategy.

    Attributes:
        strategy: its name.
        runs: the number of finished runs.
        parameters: trainable parameters of the model.
        rounds: rounds of a run.
        seconds: wall time of a run.
        per_round: seconds of a round; None without rounds.
        bytes_up: from one site to the server in one round.
        bytes_down: from the server to one site in one round.
        megabits: exchanged in a run, in both directions and by all sites.
    """

    strategy: str
    runs: int
    parameters: int
    rounds: float
    seconds: float
    per_round: Seconds | None
    bytes_up: float
    bytes_down: float
    megabits: float


def costs(results: Results) -> list[Cost]:
    """One row for each strategy with a finished run."""
    sites = max(len(results.sites), 1)
    rows = []
    for recipe, cells in finished_cells(results).items():
        if not cells:
            continue
        records = [record for cell in cells for record in cell.rounds]
        rows.append(
            Cost(
                strategy=recipe.name,
                runs=len(cells),
                parameters=cells[0].parameters,
                rounds=len(records) / len(cells),
                seconds=fmean(cell.seconds for cell in cells),
                per_round=_mean([seconds_of(record) for record in records]),
                bytes_up=sum(r.bytes_up for r in records) / max(len(records), 1) / sites,
                bytes_down=sum(r.bytes_down for r in records) / max(len(records), 1) / sites,
                megabits=fmean(exchanged_bytes(cell, results) for cell in cells) * 8 / 1e6,
            )
        )
    return rows


def exchanged_bytes(cell: Cell, results: Results) -> int:
    """Bytes of a run in both directions and for all sites; pooling sends every image once (S2)."""
    if cell.rounds and all(set(record.sites) == {ALL_SITES} for record in cell.rounds):
        return sum(site.train_bytes for site in results.sites.values())
    return sum(record.bytes_up + record.bytes_down for record in cell.rounds)


def seconds_of(record: RoundRecord) -> Seconds:
    """The seconds of one round; the slowest site has the largest sum of training and protection."""
    slowest = max(
        record.sites.values(), key=lambda work: work.seconds + work.protect_seconds, default=None
    )
    train = slowest.seconds if slowest else 0.0
    protect = slowest.protect_seconds if slowest else 0.0
    rest = max(record.seconds - train - protect - record.add_seconds, 0.0)
    return Seconds(record.seconds, train, protect, record.add_seconds, rest)


def _mean(records: Sequence[Seconds]) -> Seconds | None:
    if not records:
        return None
    return Seconds(
        whole=fmean(record.whole for record in records),
        train=fmean(record.train for record in records),
        protect=fmean(record.protect for record in records),
        add=fmean(record.add for record in records),
        rest=fmean(record.rest for record in records),
    )
