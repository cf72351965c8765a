"""Cross-validation: the fold that validates best is chosen, and only its model is tested, once.

S0: five folds of the training patients, grouped by patient. Choosing sees validation cases only;
the test cases are opened after it.
"""

import numpy as np
import torch
from flwr.common import Scalar
from safetensors.torch import load_file

from ucadi_flwr.data.sites import Site
from ucadi_flwr.evaluation.metrics import from_predictions
from ucadi_flwr.models.factory import make_model
from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.results.experiment import Cell, Fold
from ucadi_flwr.results.predictions import read_predictions
from ucadi_flwr.simulation.cells import exact_measures
from ucadi_flwr.simulation.experiment import Plan
from ucadi_flwr.site.client import SiteClient


def joined(plan: Plan, strategy: StrategyRecipe, seed: int, cells: list[Cell]) -> Cell:
    """One cell of the folds' cells (fold 1 first), whose ``models`` are not tested yet.

    A model of all sites is chosen by the AUC over all validation cases, a site's own model by that
    at its site; where there is no AUC, by accuracy.
    """
    failed = [cell.error for cell in cells if cell.error is not None]
    folds, models = [], []
    for trained_at in [model.trained_at for model in cells[0].models] if not failed else []:
        scores = [_score(plan, strategy, seed, k, trained_at) for k in range(1, len(cells) + 1)]
        best = max(range(len(scores)), key=scores.__getitem__)
        models.append(next(m for m in cells[best].models if m.trained_at == trained_at))
        for k, cell in enumerate(cells, start=1):
            found = next(m for m in cell.models if m.trained_at == trained_at)
            folds.append(
                Fold(
                    fold=k,
                    trained_at=trained_at,
                    validation=found.test,
                    score=scores[k - 1],
                    chosen=k == best + 1,
                )
            )
    return cells[0].model_copy(
        update={
            "seconds": sum(cell.seconds for cell in cells),
            "rounds": next((cells[f.fold - 1].rounds for f in folds if f.chosen), []),
            "models": models,
            "folds": folds,
            "error": failed[0] if failed else None,
        }
    )


def tested(plan: Plan, strategy: StrategyRecipe, seed: int, cell: Cell, sites: list[Site]) -> Cell:
    """Test each chosen model at every site, here: a simulation has all images on this machine.

    A site that made the model its own in the chosen fold is tested with what it kept.
    """
    torch.set_num_threads(1)
    folder = plan.folder.run(strategy.name, seed)
    models = []
    for model in cell.models:
        settings: dict[str, Scalar] = {"trained-at": model.trained_at, "tested": "test"}
        fold = next(f.fold for f in cell.folds if f.chosen and f.trained_at == model.trained_at)
        for site in sites:
            client = SiteClient(plan.task, strategy, site, plan.folder.cache, folder)
            own = plan.folder.run(strategy.name, seed, fold).sites.own_model(site.name)
            network = make_model(plan.task, seed)
            network.load_state_dict(load_file(own if own.is_file() else plan.out / model.file))
            client.test(network.to(client.device), settings)
        test = exact_measures(plan.task, folder, model.trained_at)
        models.append(model.model_copy(update={"test": test}))
    return cell.model_copy(update={"models": models})


def _score(plan: Plan, strategy: StrategyRecipe, seed: int, fold: int, trained_at: str) -> float:
    folder = plan.folder.run(strategy.name, seed, fold)
    paths = folder.all_predictions_of(trained_at)
    if trained_at != ALL_SITES:
        paths = [folder.predictions_of(trained_at, trained_at)]
    parts = [read_predictions(path, plan.task.classes) for path in paths]
    scores = np.concatenate([part.probabilities for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    figures = from_predictions(scores, labels, plan.task.classes.index(plan.task.positive_class))
    return figures.accuracy if figures.auc is None else figures.auc
