"""A trained model on disk: safetensors that a strict ``load_state_dict`` takes."""

import hashlib
import json
from collections.abc import Collection, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import nn

from ucadi_flwr.files.atomic import replacing
from ucadi_flwr.models.factory import make_model
from ucadi_flwr.models.state import read_state, write_state
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.recipes.task import TaskRecipe
from ucadi_flwr.results.layout import model_name


def save_model(
    folder: Path,
    trained_at: str,
    state: Mapping[str, NDArray[np.float32]],
    task: TaskRecipe,
    local: Collection[str] = (),
) -> dict[str, str]:
    """Write one model with its counters at zero; where it was trained, its file and SHA-256.

    ``local`` names the tensors that stayed at the sites: the file has their initial values, and
    its metadata says which they are.
    """
    name = model_name(trained_at)
    metadata = {"local": json.dumps(sorted(local))} if local else {}
    _write(folder / name, state, task, {"trained-at": trained_at, **metadata})
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    return {"trained_at": trained_at, "file": name, "sha256": digest}


def save_own_model(path: Path, model: nn.Module, task: TaskRecipe, site: str) -> None:
    """Write the model as one site uses it, with its counters at zero; it stays at that site."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, read_state(model), task, {"trained-at": ALL_SITES, "own-of": site})


def _write(
    path: Path,
    state: Mapping[str, NDArray[np.float32]],
    task: TaskRecipe,
    metadata: Mapping[str, str],
) -> None:
    """Whole or not at all."""
    model = make_model(task, seed=0)
    write_state(model, state)
    of_task = {"task": task.name, "task-digest": loader.digest(task)}
    classes = {"classes": json.dumps(task.classes)}
    with replacing(path) as partial:
        save_file(model.state_dict(), partial, {**of_task, **metadata, **classes})
