"""The model that a run starts from: the seed's, or a file's (S1's experiment II continues I's)."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from ucadi_flwr.aggregation.optimizers import Arrays as State
from ucadi_flwr.errors import DataError, ProtectionError
from ucadi_flwr.models.factory import make_model
from ucadi_flwr.models.parts import local_tensor_names, output_layer, split
from ucadi_flwr.models.pretrained import load_initial
from ucadi_flwr.models.state import check_state, read_state
from ucadi_flwr.protection.keys import ServerContext, SiteKey
from ucadi_flwr.protection.sealed_model import check_initial, open_initial, seal_initial
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe

SEALED = "sealed"
"""The only array of a model that is not in clear: (bytes,), uint8."""

TravellingArrays = Mapping[str, NDArray[Any]]


def load_initial_model(path: Path, model: nn.Module, task: TaskRecipe) -> list[str]:
    """Load a file's weights into ``model``; what there is to know of it, in lines.

    An output layer for another number of classes keeps the seed's values. Raises
    :class:`DataError` where the file does not fit, or says that its classes are others.
    """
    report = load_initial(path, model, head=(output_layer(model),))
    known = report.metadata.get("classes")
    if known is not None and not report.fresh and known != json.dumps(task.classes):
        raise DataError(
            f"{path} has classes {known[:200]}, and task {task.name} {json.dumps(task.classes)}; "
            "choose a model of the same classes"
        )
    notes = [f"initial model: {path}, SHA-256 {report.sha256}"]
    if report.fresh:
        notes.append(f"{', '.join(report.fresh)} are not from {path} but new")
    if report.summed:
        notes.append(f"{report.summed}: the colours of {path} were summed, for grey images")
    return notes


def sealed_initial_model(
    path: Path, task: TaskRecipe, recipe: StrategyRecipe, seed: int, key: SiteKey
) -> bytes:
    """A file's weights for a run of these recipes, sealed by a key holder."""
    network = make_model(task, seed)
    load_initial_model(path, network, task)
    shared, _ = split(read_state(network), local_tensor_names(network, recipe.local))
    return seal_initial(key, shared)


def initial_arrays(
    path: Path | None,
    model: nn.Module,
    task: TaskRecipe,
    recipe: StrategyRecipe,
    context: ServerContext,
) -> tuple[TravellingArrays, State, list[str]]:
    """The arrays that travel first, the initial values of those that never do, and notes.

    ``model`` is the seed's; without encryption a file is loaded into it. Under encryption a file
    has to be sealed (``ucadi seal``), and only its key and size can be looked at here.
    """
    local = local_tensor_names(model, recipe.local)
    if path is None or recipe.protection.scheme == "none":
        notes = load_initial_model(path, model, task) if path else []
        shared, own = split(read_state(model), local)
        return shared, own, notes
    shared, own = split(read_state(model), local)
    try:
        blob = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; name a model sealed with ucadi seal") from None
    check_initial(blob, context.key_id, sum(values.size for values in shared.values()))
    return as_arrays(blob), own, [f"initial model: {path}, sealed"]


def as_arrays(blob: bytes) -> dict[str, NDArray[Any]]:
    """A sealed model as the one array that travels."""
    return {SEALED: np.frombuffer(blob, np.uint8)}


def read_initial_model(
    arrays: TravellingArrays, key: SiteKey | None, shapes: Mapping[str, tuple[int, ...]]
) -> dict[str, NDArray[np.float32]]:
    """The model, checked against the network's shapes.

    Raises :class:`FederationError` where it does not fit, :class:`ProtectionError` where it cannot
    be opened.
    """
    state = dict(arrays)
    if state.keys() == {SEALED}:
        if key is None:
            raise ProtectionError("the initial model is sealed and this run has no key")
        state = open_initial(key, state[SEALED].tobytes(), shapes)
    check_state(state, shapes)
    return state
