"""The model that all begin with, as it travels: tensors in clear, or bytes under the sites' key."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.errors import ProtectionError
from ucadi_flwr.models.state import check_state
from ucadi_flwr.protection.initial import open_initial
from ucadi_flwr.protection.keys import SiteKey

SEALED = "sealed"
"""The only array of a model that is not in clear: (bytes,), uint8."""

Arrays = Mapping[str, NDArray[Any]]


def as_arrays(blob: bytes) -> dict[str, NDArray[Any]]:
    """A sealed model as the one array that travels."""
    return {SEALED: np.frombuffer(blob, np.uint8)}


def read_initial(
    arrays: Arrays, key: SiteKey | None, shapes: Mapping[str, tuple[int, ...]]
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
