"""What a site remembers between messages, in the state that Flower keeps for its node.

A new process serves every message; this record is all that survives. It never leaves the site.
"""

import json
from typing import cast

from flwr.app import ConfigRecord, RecordDict

from ucadi_flwr.aggregation.optimizers import Moments
from ucadi_flwr.errors import ProtectionError
from ucadi_flwr.exchange.agreement import parse_name
from ucadi_flwr.exchange.global_model import GlobalModel
from ucadi_flwr.exchange.wire import array_record, model_arrays

_PARTS = ("model", "first", "second")


class SiteMemory:
    """One run's memory at one site; that of an earlier run is forgotten."""

    def __init__(self, state: RecordDict, run: str) -> None:
        self._state = state
        known = state.config_records.get("memory")
        if known is None or known["run"] != run:
            for part in ("memory", *_PARTS):
                state.pop(part, None)
            state["memory"] = ConfigRecord({"run": run, "sealed": "{}", "round": -1, "weight": 0})
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
