"""Reading the predictions of an experiment's finished cells, and checking that they compare."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.comparison.cases import Cases
from ucadi_flwr.errors import DataError
from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.results.experiment import Cell, Results
from ucadi_flwr.results.predictions import PredictionFile, read_predictions


@dataclass(frozen=True)
class Model:
    """One trained model: its probabilities `(N, classes)` for the cases of each site."""

    strategy: str
    seed: int
    trained_at: str
    scores: Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Experiment:
    """What every finished cell predicts; ``learned_at``: strategy → sites that trained it."""

    classes: tuple[str, ...]
    positive: int
    sites: Mapping[str, Cases]
    models: tuple[Model, ...]
    learned_at: Mapping[str, frozenset[str]]

    @property
    def strategies(self) -> list[str]:
        """The strategies with a finished cell, in the order of the experiment."""
        return list(dict.fromkeys(model.strategy for model in self.models))

    def sites_of(self, tested_at: str) -> list[str]:
        """The sites whose cases make up a test set."""
        return list(self.sites) if tested_at == ALL_SITES else [tested_at]


def load(out: Path, results: Results) -> Experiment:
    """Read ``OUT/<strategy>/seed<k>/predictions/<trained_at>/<site>.csv`` of finished cells.

    At a site every model is tested on the same cases, with the same patients and classes: another
    order is put right, anything else is a :class:`DataError` that names the file.
    """
    classes = tuple(results.task.classes)
    first: dict[str, tuple[Path, PredictionFile]] = {}
    models: list[Model] = []
    for cell in results.cells:
        if cell.error is not None:
            continue
        folder = out / cell.strategy.name / f"seed{cell.seed}" / "predictions"
        for model in cell.models:
            scores: dict[str, NDArray[np.float64]] = {}
            for site in model.test:
                path = folder / model.trained_at / f"{site}.csv"
                found = read_predictions(path, classes)
                scores[site] = _in_order(path, found, *first.setdefault(site, (path, found)))
            models.append(Model(cell.strategy.name, cell.seed, model.trained_at, scores))
    if not first:
        raise DataError(f"{out}: no run finished with predictions; there is nothing to compare")
    order = [site for site in results.sites if site in first]
    order += sorted(first.keys() - set(order))
    return Experiment(
        classes=classes,
        positive=classes.index(results.task.positive_class),
        sites={site: _cases(first[site][1]) for site in order},
        models=tuple(models),
        learned_at=_learned_at(results),
    )


def _in_order(
    path: Path, found: PredictionFile, reference: Path, wanted: PredictionFile
) -> NDArray[np.float64]:
    """The file's probabilities in the order of the first file of this site."""
    place = {case: i for i, case in enumerate(found.cases)}
    if place.keys() != set(wanted.cases):
        some = min(place.keys() ^ set(wanted.cases))
        raise DataError(f"{path}: not the cases of {reference} ({some!r} is in one of them only)")
    order = [place[case] for case in wanted.cases]
    for i, j in enumerate(order):
        if found.labels[j] != wanted.labels[i] or found.patients[j] != wanted.patients[i]:
            case = wanted.cases[i]
            raise DataError(f"{path}: case {case!r} has another patient or class in {reference}")
    return found.probabilities[order]


def _cases(file: PredictionFile) -> Cases:
    index = {name: i for i, name in enumerate(dict.fromkeys(file.patients))}
    patients = np.array([index[name] for name in file.patients], np.intp)
    return Cases(tuple(file.cases), patients, file.labels)


def _learned_at(results: Results) -> dict[str, frozenset[str]]:
    """Sites with training cases that a strategy's rounds name; all of them if none is named."""
    training = frozenset(name for name, site in results.sites.items() if sum(site.train.values()))
    found: dict[str, frozenset[str]] = {}
    for cell in results.cells:
        name = cell.strategy.name
        found[name] = found.get(name, frozenset()) | _named(cell, training)
    return found


def _named(cell: Cell, training: frozenset[str]) -> frozenset[str]:
    named = frozenset(site for record in cell.rounds for site in record.sites)
    return training if ALL_SITES in named or not named else named & training
