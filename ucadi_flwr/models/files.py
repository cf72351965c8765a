"""Write trained models to disk: safetensors that a strict ``load_state_dict`` accepts."""

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


def model_name(trained_at: str) -> str:
    """File name of a trained model: of all sites, or of the one site that trained it.

    >>> model_name("north")
    'model-north.safetensors'
    """
    return "model.safetensors" if trained_at == ALL_SITES else f"model-{trained_at}.safetensors"


def save_model(
    folder: Path,
    trained_at: str,
    state: Mapping[str, NDArray[np.float32]],
    task: TaskRecipe,
    local: Collection[str] = (),
) -> dict[str, str]:
    """Write one model, with its integer counters at zero.

    Args:
        folder: receives ``model.safetensors``, or ``model-SITE.safetensors``.
        trained_at: a site's name, or :data:`ALL_SITES`.
        state: the model's float tensors (:func:`ucadi_flwr.models.state.read_state`).
        task: the task that it was trained for; the metadata has its name, digest and classes.
        local: the tensors that stayed at the sites. The file has their initial values, and the
            metadata has their names.

    Returns:
        ``trained_at``, the file's name and its SHA-256 (hex).

    Raises:
        FederationError: the state does not fit the task's network.
    """
    name = model_name(trained_at)
    metadata = {"local": json.dumps(sorted(local))} if local else {}
    _write(folder / name, state, task, {"trained-at": trained_at, **metadata})
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    return {"trained_at": trained_at, "file": name, "sha256": digest}


def save_site_model(path: Path, model: nn.Module, task: TaskRecipe, site: str) -> None:
    """Write the model that one site uses, with its integer counters at zero; it stays there.

    The metadata is as in :func:`save_model`; ``own-of`` is the site's name.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    _write(path, read_state(model), task, {"trained-at": ALL_SITES, "own-of": site})


def _write(
    path: Path,
    state: Mapping[str, NDArray[np.float32]],
    task: TaskRecipe,
    metadata: Mapping[str, str],
) -> None:
    """Write the file completely or not at all."""
    model = make_model(task, seed=0)
    write_state(model, state)
    of_task = {"task": task.name, "task-digest": loader.digest(task)}
    classes = {"classes": json.dumps(task.classes)}
    with replacing(path) as partial:
        save_file(model.state_dict(), partial, {**of_task, **metadata, **classes})
