"""What runs cost: seconds by what they were spent on, bytes by site, round and run."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean

from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.report.tables import finished
from ucadi_flwr.results.experiment import Cell, Results, Round


@dataclass(frozen=True)
class Seconds:
    """One round's wall time, or a mean of several.

    ``train`` and ``protect`` (opening, encrypting) are the slowest site's, which a round waits for;
    ``add`` is the server's; ``rest`` is what remains: transport, the test, and, where one machine
    plays all sites, waiting for a turn.
    """

    whole: float
    train: float
    protect: float
    add: float
    rest: float


@dataclass(frozen=True)
class Cost:
    """A mean over a strategy's finished runs. Bytes are of one site in one round."""

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
    """One row a strategy that finished at least once."""
    sites = max(len(results.sites), 1)
    rows = []
    for recipe, cells in finished(results).items():
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
                megabits=fmean(shared(cell, results) for cell in cells) * 8 / 1e6,
            )
        )
    return rows


def shared(cell: Cell, results: Results) -> int:
    """Bytes that a run sent, both ways and from all sites; pooling moves every image once (S2)."""
    if cell.rounds and all(set(record.sites) == {ALL_SITES} for record in cell.rounds):
        return sum(site.train_bytes for site in results.sites.values())
    return sum(record.bytes_up + record.bytes_down for record in cell.rounds)


def seconds_of(record: Round) -> Seconds:
    """One round's seconds; the slowest site is the one that trained and protected longest."""
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
