"""What a site remembers of a run between messages, on its own disk.

A new process serves every message, and a run may be resumed after everything died. Nothing here
ever leaves the site, and a server cannot make a site forget that it sealed something.
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from ucadi_flwr.aggregation.optimizers import Moments
from ucadi_flwr.errors import DataError, FederationError, ProtectionError
from ucadi_flwr.exchange.agreement import parse_attempt_name
from ucadi_flwr.exchange.global_model import GlobalModel
from ucadi_flwr.files.atomic import replacing

RUNS_WITH_MODELS = 4
"""Models of older runs are removed; what was sealed in them is remembered for ever (bytes)."""

_RUN = re.compile(r"[0-9a-f]{1,64}")
_PARTS = ("model", "first", "second")


class SiteMemory:
    """One run's memory at one site. ``folder`` is the site's own; ``run`` is the server's word."""

    def __init__(self, folder: Path, run: str) -> None:
        if not _RUN.fullmatch(run):
            raise FederationError(f"'{run[:64]}' is no number of a run")
        self.folder = folder / run
        self._file = self.folder / "memory.json"
        self._known: dict[str, Any] = {"sealed": {}, "weight": 0, "round": -1}
        if self._file.exists():
            self._known = _load(self._file)
        else:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            _forget_models(folder)

    def seal_once(self, purpose: str, name: str) -> None:
        """Note that this exchange is sealed; refuse one that was, or that lies further back.

        Two sealings of one exchange could be mixed by a server, and an old round asked for again.
        """
        last = self._known["sealed"].get(purpose)
        if last is not None and parse_attempt_name(name) <= parse_attempt_name(last):
            raise ProtectionError(
                f"asked for the {purpose} of round {name} after that of {last}; a site does not "
                "go back"
            )
        self._write(sealed={**self._known["sealed"], purpose: name})

    @property
    def weight(self) -> int:
        """The weight that went into the last exchange of weights; 0 before one."""
        return int(self._known["weight"])

    @weight.setter
    def weight(self, value: int) -> None:
        self._write(weight=value)

    def keep(self, model: GlobalModel) -> None:
        """Remember the model and the optimiser's moments."""
        arrays = (model.state, model.moments.first, model.moments.second)
        named = {
            f"{part}/{name}": np.ascontiguousarray(values)
            for part, state in zip(_PARTS, arrays, strict=True)
            for name, values in state.items()
        }
        with replacing(self._model(model.round)) as partial:
            save_file(named, partial)
        self._write(round=model.round)
        for path in self.folder.glob("model-*.safetensors"):
            if path != self._model(model.round):
                path.unlink()

    def model(self) -> GlobalModel | None:
        """What :meth:`keep` was given last; None if that is not there."""
        number = int(self._known["round"])
        path = self._model(number)
        if number < 0 or not path.exists():
            return None
        try:
            stored = load_file(path)
        except (SafetensorError, OSError) as error:
            raise DataError(f"{path}: damaged ({error}); delete it") from None
        state, first, second = (_part(stored, part) for part in _PARTS)
        return GlobalModel(number, state, Moments(first, second))

    def _model(self, number: int) -> Path:
        return self.folder / f"model-{number}.safetensors"

    def _write(self, **changes: Any) -> None:
        self._known |= changes
        with replacing(self._file) as partial:
            partial.write_text(json.dumps(self._known), encoding="utf-8")


def _load(path: Path) -> dict[str, Any]:
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
        sealed = {str(purpose): str(name) for purpose, name in stored["sealed"].items()}
        return {"sealed": sealed, "weight": int(stored["weight"]), "round": int(stored["round"])}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise DataError(
            f"{path}: damaged; delete the folder if you trust the server not to ask for a round "
            "twice"
        ) from None


def _part(arrays: dict[str, NDArray[Any]], part: str) -> dict[str, NDArray[Any]]:
    prefix = f"{part}/"
    return {n.removeprefix(prefix): a for n, a in arrays.items() if n.startswith(prefix)}


def _forget_models(folder: Path) -> None:
    """Remove the models of all but the newest runs, with room for one more."""
    files = sorted(folder.glob("*/memory.json"), key=lambda path: path.stat().st_mtime)
    for file in files[: 1 - RUNS_WITH_MODELS]:
        for path in file.parent.glob("*.safetensors"):
            path.unlink()
