"""Read the predictions of an experiment's finished cells and check that they match."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.comparison.cases import Cases
from ucadi_flwr.errors import DataError
from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.results.experiment import Cell, Results
from ucadi_flwr.results.layout import ExperimentFolder
from ucadi_flwr.results.predictions import PredictionFile, read_predictions


@dataclass(frozen=True)
class TestedModel:
    """A trained model; ``scores``: site → its probabilities `(N, classes)` for the cases there."""

    __test__ = False  # not a test of pytest's

    strategy: str
    seed: int
    trained_at: str
    scores: Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Experiment:
    """The predictions of every finished cell.

    Attributes:
        classes: names of the task's classes.
        positive: index of the positive class.
        sites: site → its test cases.
        models: the tested models of all strategies and seeds.
        trained_by: strategy → the sites that took part in its training.
    """

    classes: tuple[str, ...]
    positive: int
    sites: Mapping[str, Cases]
    models: tuple[TestedModel, ...]
    trained_by: Mapping[str, frozenset[str]]

    @property
    def strategies(self) -> list[str]:
        """The strategies with a finished cell, in the order of the experiment."""
        return list(dict.fromkeys(model.strategy for model in self.models))

    def sites_of(self, tested_at: str) -> list[str]:
        """The sites whose cases make up a test set."""
        return list(self.sites) if tested_at == ALL_SITES else [tested_at]


def load(out: Path, results: Results) -> Experiment:
    """Read ``OUT/<strategy>/seed<k>/predictions/<trained_at>/<site>.csv`` of finished cells.

    At a site every model must be tested on the same cases, with the same patients and classes;
    only their order may differ between files.

    Args:
        out: the folder of the experiment.
        results: its results.json.

    Raises:
        DataError: a file is missing or broken, or its cases differ; the message names the file.
    """
    classes = tuple(results.task.classes)
    first: dict[str, tuple[Path, PredictionFile]] = {}
    models: list[TestedModel] = []
    for cell in results.cells:
        if cell.error is not None:
            continue
        folder = ExperimentFolder(out).run(cell.strategy.name, cell.seed)
        for model in cell.models:
            scores: dict[str, NDArray[np.float64]] = {}
            for site in model.test:
                path = folder.predictions_of(model.trained_at, site)
                file = read_predictions(path, classes)
                scores[site] = _in_order(path, file, *first.setdefault(site, (path, file)))
            models.append(TestedModel(cell.strategy.name, cell.seed, model.trained_at, scores))
    if not first:
        raise DataError(f"{out}: no run finished with predictions; there is nothing to compare")
    order = [site for site in results.sites if site in first]
    order += sorted(first.keys() - set(order))
    return Experiment(
        classes=classes,
        positive=classes.index(results.task.positive_class),
        sites={site: _cases(first[site][1]) for site in order},
        models=tuple(models),
        trained_by=_trained_by(results),
    )


def _in_order(
    path: Path, file: PredictionFile, first_path: Path, first: PredictionFile
) -> NDArray[np.float64]:
    """The file's probabilities in the order of the first file of this site."""
    index = {case: i for i, case in enumerate(file.cases)}
    if index.keys() != set(first.cases):
        case = min(index.keys() ^ set(first.cases))
        raise DataError(f"{path}: not the cases of {first_path} ({case!r} is only in one of them)")
    order = [index[case] for case in first.cases]
    for i, j in enumerate(order):
        if file.labels[j] != first.labels[i] or file.patients[j] != first.patients[i]:
            case = first.cases[i]
            raise DataError(f"{path}: case {case!r} has another patient or class in {first_path}")
    return file.probabilities[order]


def _cases(file: PredictionFile) -> Cases:
    index = {name: i for i, name in enumerate(dict.fromkeys(file.patients))}
    patients = np.array([index[name] for name in file.patients], np.intp)
    return Cases(tuple(file.cases), patients, file.labels)


def _trained_by(results: Results) -> dict[str, frozenset[str]]:
    """The sites that the rounds of a strategy name, or all sites with training cases if none is."""
    training = frozenset(name for name, site in results.sites.items() if sum(site.train.values()))
    by_strategy: dict[str, frozenset[str]] = {}
    for cell in results.cells:
        name = cell.strategy.name
        by_strategy[name] = by_strategy.get(name, frozenset()) | _sites_of(cell, training)
    return by_strategy


def _sites_of(cell: Cell, training: frozenset[str]) -> frozenset[str]:
    named = frozenset(site for record in cell.rounds for site in record.sites)
    return training if ALL_SITES in named or not named else named & training
