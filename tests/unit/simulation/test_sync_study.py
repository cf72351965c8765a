"""The study of synchronisation intervals, on results with times that were chosen by hand."""

import csv
import io
from pathlib import Path

import pytest
from rich.console import Console

from ucadi_flwr.errors import RecipeError
from ucadi_flwr.evaluation.metrics import TestMeasures
from ucadi_flwr.results.experiment import Cell, Model, RecipeRef, Results, TaskRef
from ucadi_flwr.results.rounds import RoundRecord, SiteRecord
from ucadi_flwr.simulation.sync_study import check_intervals, sync_settings, write_study


def cell(name: str, epochs: int, rounds: int, seed: int, auc: float | None) -> Cell:
    """Every round takes 10 s: the slower of two sites trains 6 s and protects 1 s, adding 0.5 s."""
    sites = {
        "a": SiteRecord(examples=9, epochs=epochs, loss=1.0, seconds=6.0, protect_seconds=1.0),
        "b": SiteRecord(examples=9, epochs=epochs, loss=1.0, seconds=2.0, protect_seconds=1.0),
    }
    every = [
        RoundRecord(
            round=k, attempts=1, seconds=10.0, add_seconds=0.5, loss=1.0,
            bytes_up=1_800_000, bytes_down=3_600_000, sites=sites, failures=[],
        )
        for k in range(1, rounds + 1)
    ]  # fmt: skip
    measures = TestMeasures(
        n=4, auc=auc, sensitivity=0.5, specificity=1.0, accuracy=0.75, confusion=[[2, 0], [1, 1]]
    )
    test = {"a": measures, "b": measures}
    model = Model(trained_at="all", file="m", sha256="0", test=test)
    return Cell(
        strategy=RecipeRef(name=name, digest=name), seed=seed, seconds=99.0, parameters=7,
        rounds=every, models=[model],
    )  # fmt: skip


def results(*cells: Cell) -> Results:
    task = TaskRef(
        name="t", digest="d", summary="s", classes=["n", "p"], positive_class="p", phantom=True
    )
    return Results(created="", command="", task=task, sites={}, environment={}, cells=list(cells))


def test_times_are_split_and_seeds_averaged() -> None:
    often = [cell("fedavg-e1", 1, 4, seed, auc) for seed, auc in ((0, 0.8), (1, 0.9))]
    rarely = cell("fedavg-e4", 4, 1, 0, None)
    failed = cell("fedavg-e2", 2, 2, 0, 0.5).model_copy(update={"error": "no"})
    first, second = sync_settings(results(*often, rarely, failed), bandwidth=900_000)
    assert (first.strategy, first.local_epochs, first.rounds, first.seeds) == ("fedavg-e1", 1, 4, 2)
    assert first.auc == pytest.approx(0.85)
    assert (first.train_s, first.protect_s, first.wait_s) == (24.0, 6.0, 10.0)
    assert first.transmit_s == pytest.approx(4 * 5_400_000 / 2 / 900_000)
    assert first.total_s == pytest.approx(52.0)
    assert (second.local_epochs, second.auc, second.accuracy) == (4, None, 0.75)
    assert second.total_s == pytest.approx(13.0)


def test_the_table_is_written_and_printed(tmp_path: Path) -> None:
    output = io.StringIO()
    console = Console(file=output, width=200)
    stored = results(cell("fedavg-e1", 1, 4, 0, 0.8), cell("fedavg-e4", 4, 1, 0, None))
    path = write_study(tmp_path, stored, 900_000, console)
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [row["strategy"] for row in rows] == ["fedavg-e1", "fedavg-e4"]
    assert float(rows[0]["total_s"]) == pytest.approx(52.0)
    printed = output.getvalue()
    assert "900 KB/s" in printed
    assert "0.800" in printed
    assert "–" in printed


def test_the_table_fits_on_eighty_characters(tmp_path: Path) -> None:
    output = io.StringIO()
    console = Console(file=output, width=80)
    slow = cell("fedavg-ckks-e10", 10, 1, 0, 0.8)
    slow = slow.model_copy(update={"rounds": [slow.rounds[0]] * 200})
    write_study(tmp_path, results(slow), 900_000, console)
    printed = output.getvalue()
    (line,) = [line for line in printed.splitlines() if line.startswith("fedavg")]
    assert line.split() == [
        *("fedavg-ckks-e10", "10", "200", "0.800", "0.750"),
        *("1200.0", "300.0", "600.0", "500.0", "2600.0"),
    ]
    assert "…" not in printed


@pytest.mark.parametrize(
    ("local", "total", "message"),
    [([1, 3], 20, "3: does not divide"), ([0], 20, "0: does not"), ([1], 0, "at least 1")],
)
def test_intervals_that_do_not_divide_the_epochs_are_refused(
    local: list[int], total: int, message: str
) -> None:
    with pytest.raises(RecipeError, match=message):
        check_intervals(local, total)
    check_intervals([1, 2, 5, 10], 20)
