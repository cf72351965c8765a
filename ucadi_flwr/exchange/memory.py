"""What a site remembers between messages, in the state that Flower keeps for its node.

A new process serves every message; this record is all that survives. It never leaves the site.
"""

import json
from collections.abc import Mapping
from typing import cast

import numpy as np
from flwr.app import ConfigRecord, RecordDict
from numpy.typing import NDArray

from ucadi_flwr.aggregation.optimizers import Moments
from ucadi_flwr.errors import ProtectionError
from ucadi_flwr.exchange.agreement import parse_name
from ucadi_flwr.exchange.global_model import GlobalModel
from ucadi_flwr.exchange.wire import array_record, model_arrays

_PARTS = ("model", "first", "second")
_OWN = ("own", "own-before")


class SiteMemory:
    """One run's memory at one site; that of an earlier run is forgotten."""

    def __init__(self, state: RecordDict, run: str) -> None:
        self._state = state
        known = state.config_records.get("memory")
        if known is None or known["run"] != run:
            for part in ("memory", *_PARTS, *_OWN):
                state.pop(part, None)
            state["memory"] = ConfigRecord(
                {"run": run, "sealed": "{}", "round": -1, "weight": 0, "own-rounds": []}
            )
        self._memory = state.config_records["memory"]

    def seal_once(self, purpose: str, name: str) -> None:
        """Note that this exchange is sealed; refuse one that was, or that lies further back.

        Two sealings of one exchange could be mixed by a server, and an old round asked for again.
        """
        sealed = json.loads(cast(str, self._memory["sealed"]))
        if purpose in sealed and parse_name(name) <= parse_name(sealed[purpose]):
            raise ProtectionError(
                f"asked for the {purpose} of round {name} after that of {sealed[purpose]}; a site "
                "does not go back"
            )
        self._memory["sealed"] = json.dumps({**sealed, purpose: name})

    @property
    def weight(self) -> int:
        """The weight that went into the last exchange of weights; 0 before one."""
        return cast(int, self._memory["weight"])

    @weight.setter
    def weight(self, value: int) -> None:
        self._memory["weight"] = value

    def keep(self, model: GlobalModel) -> None:
        """Remember the model and the optimiser's moments."""
        arrays = (model.state, model.moments.first, model.moments.second)
        for part, values in zip(_PARTS, arrays, strict=True):
            self._state[part] = array_record(values)
        self._memory["round"] = model.round

    def model(self) -> GlobalModel | None:
        """What :meth:`keep` was given last."""
        server_round = cast(int, self._memory["round"])
        if server_round < 0:
            return None
        state, first, second = (model_arrays(self._state, part) for part in _PARTS)
        return GlobalModel(server_round, state, Moments(first, second))

    def keep_own(self, server_round: int, own: Mapping[str, NDArray[np.float32]]) -> None:
        """Remember the tensors that stay here, as they are after a round, and those before it."""
        rounds = self._own_rounds
        if rounds and rounds[0] < server_round:  # else the same round again, in another attempt
            self._state[_OWN[1]] = self._state[_OWN[0]]
            rounds = rounds[:1]
        else:
            rounds = rounds[1:]
        self._state[_OWN[0]] = array_record(own)
        self._memory["own-rounds"] = [server_round, *rounds]

    def own(self, before: int | None = None) -> dict[str, NDArray[np.float32]]:
        """What :meth:`keep_own` was given last, or last before a round; nothing if it was not.

        A round that is repeated must begin as it did the first time.
        """
        for part, server_round in zip(_OWN, self._own_rounds, strict=False):
            if before is None or server_round < before:
                return dict(model_arrays(self._state, part))
        return {}

    @property
    def _own_rounds(self) -> list[int]:
        """The rounds after which own tensors are kept, the newest first; two at most."""
        return list(cast(list[int], self._memory["own-rounds"]))
