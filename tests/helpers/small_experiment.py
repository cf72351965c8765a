"""A folder of predictions as an experiment leaves it, built case by case."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.comparison.analyse import analyse
from ucadi_flwr.evaluation.metrics import TestMeasures
from ucadi_flwr.results.analysis import Analysis
from ucadi_flwr.results.experiment import Cell, Model, RecipeRef, Results, SiteData, TaskRef
from ucadi_flwr.results.predictions import write_predictions
from ucadi_flwr.results.rounds import RoundRecord, SiteRecord

UNUSED = TestMeasures(
    n=0, auc=None, sensitivity=None, specificity=None, accuracy=0.0, confusion=[[0, 0], [0, 0]]
)


@dataclass
class SmallExperiment:
    """Test cases of sites, the predictions of the strategies' models for them, and the results."""

    out: Path
    classes: tuple[str, ...] = ("healthy", "covid-19")
    sites: dict[str, tuple[list[str], list[str], np.ndarray]] = field(default_factory=dict)
    data: dict[str, SiteData] = field(default_factory=dict)
    tests: dict[tuple[str, int], dict[str, list[str]]] = field(default_factory=dict)
    errors: dict[tuple[str, int], str] = field(default_factory=dict)
    rounds: dict[str, list[str]] = field(default_factory=dict)

    def site(
        self,
        name: str,
        labels: Sequence[int] | NDArray[np.int64],
        patients: Sequence[str] | None = None,
        cases: Sequence[str] | None = None,
        train: dict[str, int] | None = None,
    ) -> None:
        n = len(labels)
        names = list(cases or [f"{name}-{i}" for i in range(n)])
        self.sites[name] = (names, list(patients or names), np.array(labels, np.int64))
        test = {c: int((np.array(labels) == i).sum()) for i, c in enumerate(self.classes)}
        trained = dict.fromkeys(self.classes, 5) if train is None else train
        self.data[name] = SiteData(
            train=trained, validation={}, test={c: k for c, k in test.items() if k}
        )

    def path(self, strategy: str, seed: int, site: str, trained_at: str = "all") -> Path:
        return self.out / strategy / f"seed{seed}" / "predictions" / trained_at / f"{site}.csv"

    def predict(
        self,
        strategy: str,
        seed: int,
        site: str,
        scores: Sequence[float] | np.ndarray,
        trained_at: str = "all",
        order: Sequence[int] | None = None,
    ) -> None:
        """Scores of the positive class, or probabilities `(N, classes)`, in the site's order."""
        cases, patients, labels = self.sites[site]
        values = np.asarray(scores, np.float64)
        if values.ndim == 1:
            values = np.stack([1 - values, values], axis=1)
        order = list(range(len(cases)) if order is None else order)
        write_predictions(
            self.path(strategy, seed, site, trained_at),
            [(cases[i], patients[i]) for i in order],
            labels[order],
            values[order],
            self.classes,
        )
        self.tests.setdefault((strategy, seed), {}).setdefault(trained_at, []).append(site)

    def results(self) -> Results:
        keys = list(dict.fromkeys([*self.tests, *self.errors]))
        return Results(
            created="",
            command="",
            task=TaskRef(
                name="task",
                digest="",
                summary="",
                classes=list(self.classes),
                positive_class="covid-19",
                phantom=False,
            ),
            sites=self.data,
            environment={},
            cells=[self._cell(*key) for key in keys],
        )

    def _cell(self, strategy: str, seed: int) -> Cell:
        work = SiteRecord(examples=1, epochs=1, loss=0.0, seconds=0.0, protect_seconds=0.0)
        record = RoundRecord(
            round=1,
            attempts=1,
            seconds=0.0,
            add_seconds=0.0,
            loss=None,
            bytes_up=0,
            bytes_down=0,
            sites=dict.fromkeys(self.rounds.get(strategy, []), work),
            failures=[],
        )
        return Cell(
            strategy=RecipeRef(name=strategy, digest=""),
            seed=seed,
            seconds=0.0,
            parameters=0,
            rounds=[record],
            models=[
                Model(trained_at=place, file="", sha256="", test=dict.fromkeys(sites, UNUSED))
                for place, sites in self.tests.get((strategy, seed), {}).items()
            ],
            error=self.errors.get((strategy, seed)),
        )

    def analyse(self, reference: str | None = None, readers: Path | None = None) -> Analysis:
        return analyse(self.out, self.results(), reference, readers)
