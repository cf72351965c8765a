"""The models of the chosen folds are tested; at each site its own model, if it has one."""

from pathlib import Path

import numpy as np
from flwr.common import Scalar
from helpers import tiny

from ucadi_flwr.evaluation.metrics import TestMeasures
from ucadi_flwr.models.factory import make_model
from ucadi_flwr.models.files import save_model, save_site_model
from ucadi_flwr.models.state import read_state
from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.results.experiment import Cell, Fold, Model, RecipeRef
from ucadi_flwr.results.layout import RunFolder
from ucadi_flwr.results.predictions import read_predictions
from ucadi_flwr.simulation import folds
from ucadi_flwr.simulation.grid import open_plan_sites
from ucadi_flwr.simulation.plan import make_plan
from ucadi_flwr.site.client import SiteClient


def test_own_models_of_the_chosen_fold_are_tested(tmp_path: Path) -> None:
    data = tiny.write_sites(tmp_path / "data", {"a": 16, "b": 16, "c": 8})
    plan = make_plan(
        str(tiny.write_task(tmp_path)),
        ["ftl"],
        seeds=[0],
        out=tmp_path / "out",
        data=data,
        hold_out=["c"],
        folds=2,
    )
    (strategy,), sites = plan.strategies, list(open_plan_sites(plan, data).values())
    server = plan.out / "ftl/seed0/fold2/server"
    server.mkdir(parents=True)
    models = {"shared": make_model(plan.task, 1), "a": make_model(plan.task, 2)}
    entry = save_model(server, ALL_SITES, read_state(models["shared"]), plan.task)
    save_site_model(plan.folder.run("ftl", 0, 2).sites.own_model("a"), models["a"], plan.task, "a")
    save_site_model(plan.folder.run("ftl", 0, 1).sites.own_model("b"), models["a"], plan.task, "b")
    nothing = TestMeasures(
        n=1, auc=None, sensitivity=None, specificity=None, accuracy=1, confusion=[]
    )
    fold = {"trained_at": "all", "validation": {"a": nothing}, "score": 0.5}
    cell = Cell(
        strategy=RecipeRef(name="ftl", digest=""),
        seed=0,
        seconds=1.0,
        parameters=1,
        rounds=[],
        models=[Model(**{**entry, "file": "ftl/seed0/fold2/server/model.safetensors"}, test={})],
        folds=[Fold(fold=1, chosen=False, **fold), Fold(fold=2, chosen=True, **fold)],
    )
    tested = folds.test_chosen_folds(plan, strategy, 0, cell, sites)
    assert {site: measures.n for site, measures in tested.models[0].test.items()} == {
        "a": 4,
        "b": 4,
        "c": 8,
    }
    settings: dict[str, Scalar] = {"trained-at": "all", "tested": "test"}
    for site in sites:
        folder = RunFolder(tmp_path / "expected")
        client = SiteClient(plan.task, strategy, site, tmp_path / "cache", folder)
        client.test(models["a" if site.name == "a" else "shared"], settings)
        probabilities, expected = (
            read_predictions(f.predictions_of("all", site.name), plan.task.classes).probabilities
            for f in (plan.folder.run("ftl", 0), folder)
        )
        assert np.array_equal(probabilities, expected)
