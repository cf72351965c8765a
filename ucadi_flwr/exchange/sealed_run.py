"""What an encrypted run leaves at its server, and how a key holder opens it.

One safetensors file: bytes by name (``sum/…``, ``losses/…`` and ``counts/…``, then
``round.attempt``), and with a server optimiser the model that all began with (``initial/…``).
Nothing in it can be read without the sites' key.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from ucadi_flwr.errors import DataError
from ucadi_flwr.evaluation.counts import Counts
from ucadi_flwr.exchange.agreement import Agreement, Purpose, mean_loss, parse_name
from ucadi_flwr.exchange.global_model import GlobalModel, replay_rounds
from ucadi_flwr.exchange.initial_model import read_initial_model
from ucadi_flwr.files.atomic import replacing
from ucadi_flwr.limits import SEALED_RUN_BYTES
from ucadi_flwr.models.factory import make_model
from ucadi_flwr.models.parts import local_tensor_names, merge, split
from ucadi_flwr.models.state import read_state, trainable_names
from ucadi_flwr.protection.keys import SiteKey
from ucadi_flwr.protection.protect import make_site
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe

_FORMAT = "ucadi-sealed-2"
_SEED = re.compile("[0-9]{1,19}")


@dataclass(frozen=True)
class OpenedRun:
    """What a key holder reads: the model, the mean loss by round, and the counts of the test.

    ``local`` names the tensors of ``state`` that never left the sites: they are the initial ones.
    """

    state: dict[str, NDArray[np.float32]] = field(repr=False)
    losses: dict[int, float]
    counts: Counts | None = field(repr=False)
    local: frozenset[str] = frozenset()


def write_sealed(
    path: Path,
    agreement: Agreement,
    task: TaskRecipe,
    initial: Mapping[str, NDArray[Any]],
    sums: Mapping[str, bytes],
    others: Mapping[str, bytes],
    seed: int = 0,
) -> None:
    """Write the file, atomically. ``others``: ``losses/…`` and ``counts/…`` → sum.

    ``seed`` made the model that all began with.
    """
    blobs = {**{f"sum/{name}": blob for name, blob in sums.items()}, **others}
    arrays = {name: np.frombuffer(blob, np.uint8) for name, blob in blobs.items()}
    metadata = {
        "format": _FORMAT,
        "run": agreement.run,
        "task-digest": loader.digest(task),
        "strategy-digest": loader.digest(agreement.recipe),
        "seed": str(seed),
    }
    with replacing(path) as partial:
        save_file({**arrays, **{f"initial/{n}": v for n, v in initial.items()}}, partial, metadata)


def open_sealed(path: Path, task: TaskRecipe, recipe: StrategyRecipe, key: SiteKey) -> OpenedRun:
    """Open the file of a run of these recipes with the sites' key.

    Raises :class:`DataError` where the file is not such a one, :class:`ProtectionError` where the
    key does not fit.
    """
    arrays, metadata = _read(path)
    for kind, known in (("task", task), ("strategy", recipe)):
        if metadata.get(f"{kind}-digest") != loader.digest(known):
            raise DataError(f"{path}: was run with another {kind} recipe than {known.name}")
    model = make_model(task, int(metadata["seed"]))
    whole, local = read_state(model), local_tensor_names(model, recipe.local)
    shared, own = split(whole, local)
    shapes = {name: values.shape for name, values in shared.items()}
    agreement = Agreement(recipe, metadata["run"], shapes, len(task.classes))
    end = make_site(key, "reader", recipe.min_sites)
    start = _part(arrays, "initial")
    if start:
        start = read_initial_model(start, key, shapes)
    opened = replay_rounds(
        GlobalModel(0, start) if start else None,
        {name: blob.tobytes() for name, blob in _part(arrays, "sum").items()},
        agreement,
        end,
        [name for name in trainable_names(model) if name in shared],
    )

    def integers(purpose: Purpose, name: str, blob: bytes) -> NDArray[np.int64]:
        message_context = agreement.message_context(purpose, name)
        return end.open_integers(agreement.integers(purpose), message_context, blob).values

    losses = {
        parse_name(name)[0]: mean_loss(integers("losses", name, blob.tobytes()))
        for name, blob in _part(arrays, "losses").items()
    }
    counts = None
    for name, blob in _part(arrays, "counts").items():
        counts = Counts.from_vector(integers("counts", name, blob.tobytes()), len(task.classes))
    return OpenedRun(merge(opened.state, own, whole), dict(sorted(losses.items())), counts, local)


def _read(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    try:
        if path.stat().st_size > SEALED_RUN_BYTES:
            raise DataError(f"{path}: larger than {SEALED_RUN_BYTES} bytes; no sealed run")
        with safe_open(path, framework="numpy") as file:
            metadata = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}; name the folder of a run") from None
    except SafetensorError as error:
        raise DataError(f"{path}: damaged, or no sealed run ({error})") from None
    seed = metadata.get("seed", "")
    if metadata.get("format") != _FORMAT or "run" not in metadata or not _SEED.fullmatch(seed):
        raise DataError(f"{path}: this is no sealed run")
    return arrays, metadata


def _part(arrays: Mapping[str, NDArray[Any]], kind: str) -> dict[str, NDArray[Any]]:
    prefix = f"{kind}/"
    return {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}
