"""Features stay on a simulation's disk: of a model of all sites, on test cases, in no answer."""

from pathlib import Path

import numpy as np
from flwr.common import Scalar
from helpers import tiny
from torch import nn

from ucadi_flwr.data.sites import open_sites
from ucadi_flwr.models.factory import make_model
from ucadi_flwr.models.state import read_state
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe
from ucadi_flwr.results.features import read_features
from ucadi_flwr.results.layout import RunFolder
from ucadi_flwr.site.client import SiteClient


def test_a_site_keeps_features_only_where_it_keeps_predictions(tmp_path: Path) -> None:
    data = tiny.write_sites(tmp_path / "data", {"a": 12})
    task = loader.load(TaskRecipe, str(tiny.write_task(tmp_path)))
    strategy = loader.load(StrategyRecipe, "fedavg")
    site = open_sites(data, task)["a"]
    arrays = list(read_state(make_model(task, seed=0)).values())
    kept = tmp_path / "cell" / "features" / "all" / "a.safetensors"

    def evaluate(results: RunFolder | None, trained_at: str, tested: str) -> set[str]:
        client = SiteClient(task, strategy, site, tmp_path / "cache", results)
        config: dict[str, Scalar] = {
            "trained-at": trained_at,
            "tested": tested,
            "seed": 0,
            "rounds": 1,
        }
        _, _, metrics = client.evaluate(arrays, config)
        return set(metrics)

    answer = evaluate(None, "all", "test")
    assert not (tmp_path / "cell").exists()
    folder = RunFolder(tmp_path / "cell")
    evaluate(folder, "a", "test")
    assert not kept.exists()
    assert evaluate(folder, "all", "test") == answer == {"counts"}
    features, labels = read_features(kept, 2)
    head = make_model(task, seed=0).get_submodule("head")
    assert isinstance(head, nn.Linear)
    assert features.shape == (len(site.parts["test"]), head.in_features)
    assert labels.tolist() == site.labels("test")
    assert np.ptp(features, axis=0).max() > 0
