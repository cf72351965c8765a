"""Cross-validation: the fold with the best validation is chosen, and only its model is tested.

S0: five folds of the training patients, grouped by patient. The choice uses validation cases only;
each chosen model is tested once, after the choice.
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
from ucadi_flwr.simulation.plan import ExperimentPlan
from ucadi_flwr.site.client import SiteClient


def join_folds(
    plan: ExperimentPlan, strategy: StrategyRecipe, seed: int, cells: list[Cell]
) -> Cell:
    """Join the cells of all folds into one, with the chosen models, which are not tested yet.

    A model of all sites is chosen by its AUC over all validation cases, a site's own model by its
    AUC at that site; by accuracy where there is no AUC.

    Args:
        plan: the experiment.
        strategy: the strategy of the cells.
        seed: the seed of the cells.
        cells: the cell of each fold, fold 1 first; if one failed, its ``error`` is the result's.
    """
    errors = [cell.error for cell in cells if cell.error is not None]
    folds, models = [], []
    for trained_at in [model.trained_at for model in cells[0].models] if not errors else []:
        scores = [_score(plan, strategy, seed, k, trained_at) for k in range(1, len(cells) + 1)]
        best = max(range(len(scores)), key=scores.__getitem__)
        candidates = [next(m for m in cell.models if m.trained_at == trained_at) for cell in cells]
        models.append(candidates[best])
        folds += [
            Fold(
                fold=k + 1,
                trained_at=trained_at,
                validation=model.test,
                score=scores[k],
                chosen=k == best,
            )
            for k, model in enumerate(candidates)
        ]
    return cells[0].model_copy(
        update={
            "seconds": sum(cell.seconds for cell in cells),
            "rounds": next((cells[f.fold - 1].rounds for f in folds if f.chosen), []),
            "models": models,
            "folds": folds,
            "error": errors[0] if errors else None,
        }
    )


def test_chosen_folds(
    plan: ExperimentPlan, strategy: StrategyRecipe, seed: int, cell: Cell, sites: list[Site]
) -> Cell:
    """Test each chosen model at every site, in this process: a simulation has all images here.

    A site that has its own model of the chosen fold (personalisation, local tensors) tests that.

    Args:
        plan: the experiment.
        strategy: the strategy of the cell.
        seed: the seed of the cell.
        cell: what :func:`join_folds` returned.
        sites: all sites, with those that never train.
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


def _score(
    plan: ExperimentPlan, strategy: StrategyRecipe, seed: int, fold: int, trained_at: str
) -> float:
    folder = plan.folder.run(strategy.name, seed, fold)
    paths = folder.all_predictions_of(trained_at)
    if trained_at != ALL_SITES:
        paths = [folder.predictions_of(trained_at, trained_at)]
    parts = [read_predictions(path, plan.task.classes) for path in paths]
    scores = np.concatenate([part.probabilities for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    measures = from_predictions(scores, labels, plan.task.classes.index(plan.task.positive_class))
    return measures.accuracy if measures.auc is None else measures.auc
