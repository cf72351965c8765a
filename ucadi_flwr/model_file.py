"""A trained model on disk: safetensors that a strict ``load_state_dict`` takes."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.torch import save_file

from ucadi_flwr.atomic import replacing
from ucadi_flwr.build import make_model
from ucadi_flwr.data.sites import POOLED
from ucadi_flwr.models.state import write_state
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.task import TaskRecipe


def save_model(
    folder: Path, trained_at: str, state: Mapping[str, NDArray[np.float32]], task: TaskRecipe
) -> dict[str, str]:
    """Write one model with its counters at zero; where it was trained, its file and SHA-256."""
    model = make_model(task, seed=0)
    write_state(model, state)
    name = "model.safetensors" if trained_at == POOLED else f"model-{trained_at}.safetensors"
    metadata = {"task": task.name, "task-digest": loader.digest(task), "trained-at": trained_at}
    metadata["classes"] = json.dumps(task.classes)
    with replacing(folder / name) as partial:
        save_file(model.state_dict(), partial, metadata)
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    return {"trained_at": trained_at, "file": name, "sha256": digest}
