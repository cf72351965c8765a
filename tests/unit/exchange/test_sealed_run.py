"""Files that are no sealed runs are refused in one line."""

import os
from pathlib import Path

import numpy as np
import pytest
from helpers import tiny
from safetensors.numpy import save_file

from ucadi_flwr.errors import DataError, ProtectionError
from ucadi_flwr.exchange import sealed_run
from ucadi_flwr.exchange.agreement import Agreement
from ucadi_flwr.models.factory import make_model
from ucadi_flwr.models.state import read_state
from ucadi_flwr.protection.keys import SiteKey
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe

FILE = "sealed.safetensors"


@pytest.fixture
def task(tmp_path: Path) -> TaskRecipe:
    return loader.load(TaskRecipe, str(tiny.write_task(tmp_path)))


def test_sealed_files_that_are_none_are_one_line(tmp_path: Path, task: TaskRecipe) -> None:
    recipe, key = loader.load(StrategyRecipe, "ucadi"), SiteKey.create("bfv")
    path = tmp_path / FILE

    def refused(message: str, used: StrategyRecipe = recipe) -> None:
        with pytest.raises(DataError, match=message):
            sealed_run.open_sealed(path, task, used, key)

    refused("name the folder of a run")
    path.write_bytes(os.urandom(100))
    refused("damaged, or no sealed run")
    save_file({"x": np.zeros(1, np.uint8)}, path)
    refused("this is no sealed run")
    shapes = {n: v.shape for n, v in read_state(make_model(task, 0)).items()}
    agreement = Agreement(recipe, "run", shapes, 2)
    sealed_run.write_sealed(path, agreement, task, {}, {"1.0": b"x" * 100}, {})
    refused("another strategy recipe than fedavg", loader.load(StrategyRecipe, "fedavg"))
    with pytest.raises(ProtectionError, match=r"too few for a protected|not a protected message"):
        sealed_run.open_sealed(path, task, recipe, key)
    content = path.read_bytes()
    path.write_bytes(content[:-10])
    refused("damaged, or no sealed run")


def test_a_large_sealed_file_is_not_read(
    tmp_path: Path, task: TaskRecipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sealed_run, "SEALED_RUN_BYTES", 10)
    (tmp_path / FILE).write_bytes(bytes(11))
    recipe, key = loader.load(StrategyRecipe, "ucadi"), SiteKey.create("bfv")
    with pytest.raises(DataError, match="larger than 10 bytes"):
        sealed_run.open_sealed(tmp_path / FILE, task, recipe, key)
