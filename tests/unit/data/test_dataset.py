"""Preprocessing, training and testing share one cache; any of them may fill it."""

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from PIL import Image
from torch.utils.data import Dataset

from ucadi_flwr.data import dataset
from ucadi_flwr.data.manifest import Case
from ucadi_flwr.data.sites import Site
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.task import TaskRecipe

Make = Callable[[Site, TaskRecipe, Path], Dataset[dict[str, Any]]]
MAKERS: dict[str, Make] = {
    "cached": dataset.cached_set,
    "train": lambda site, task, cache: dataset.training_set(site, task, cache, seed=0),
    "test": lambda site, task, cache: dataset.testing_set(site, task, cache, "test"),
}


def one_case(folder: Path, task: TaskRecipe) -> Site:
    """A site with the same image for training and test, so that both use the same cached file."""
    rng = np.random.default_rng(0)
    if task.images.kind == "ct-volume":
        path = folder / "c.nii.gz"
        hu = rng.normal(-500, 200, (20, 20, 40)).astype(np.int16)
        nibabel.save(nibabel.Nifti1Image(hu, np.diag([2.0, 2, 5, 1])), path)
    else:
        path = folder / "c.png"
        Image.fromarray(rng.integers(0, 255, (80, 90)).astype(np.uint8)).save(path)
    case = Case(path=path, name="c", label=task.classes[1], patient="p", site="s", split=None)
    class_of = {name: i for i, name in enumerate(task.classes)}
    return Site("s", {"train": [case], "validation": [], "test": [case]}, class_of)


@pytest.mark.parametrize("order", list(itertools.permutations(MAKERS)))
@pytest.mark.parametrize("name", ["xray-pneumonia2", "phantom-covid2"])
def test_the_cache_is_the_same_whoever_fills_it(
    tmp_path: Path, name: str, order: tuple[str, ...]
) -> None:
    task = loader.load(TaskRecipe, name)
    site = one_case(tmp_path, task)
    alone = {
        which: make(site, task, tmp_path / f"alone-{which}")[0]["image"]
        for which, make in MAKERS.items()
    }
    size = tuple(task.images.size)
    assert tuple(alone["train"].shape) == (1, *size)
    assert tuple(alone["test"].shape)[1:] == (1, *size)
    for which in order:
        image = MAKERS[which](site, task, tmp_path / "shared")[0]["image"]
        assert image.shape == alone[which].shape
        assert which == "train" or (image == alone[which]).all()
