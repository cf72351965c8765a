"""One flat vector for a whole model, with its small tensors first.

A ciphertext has thousands of slots, so that encrypting tensor by tensor would send mostly padding.
The tensors are laid end to end instead: first the *wide* ones, whose values get a slot each, then
the *packed* ones, whose values share slots (:mod:`ucadi_flwr.protection.encoding.bfv_slots`).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.errors import ProtectionError

State = Mapping[str, NDArray[np.float32]]
"""A model as it travels: tensor name → float32 array, parameters and float buffers."""

SMALL = 4096
"""A tensor of at most this many values, or of at most one dimension, is wide.

Biases, normalisation parameters and running statistics can change by large factors in one round;
large weight tensors do not. In a measurement, one rule for both ruined the model.
"""


@dataclass(frozen=True)
class TensorEntry:
    """One tensor of the layout; ``span`` is its part of the flat vector."""

    name: str
    shape: tuple[int, ...]
    packed: bool
    span: slice


@dataclass(frozen=True)
class Layout:
    """The tensors of a model by name, in the model's own order.

    Both ends build the same layout from the same names and shapes; a digest of it is part of
    every frame (:mod:`ucadi_flwr.protection.plan`).

    Args:
        shapes: tensor name → shape, in the model's order.

    Raises :class:`ProtectionError` where there is no tensor, or one holds no values.

    >>> layout = Layout({"conv.weight": (64, 5, 13), "conv.bias": (64,)})
    >>> [(tensor.name, tensor.packed) for tensor in layout.tensors]
    [('conv.bias', False), ('conv.weight', True)]
    >>> layout.values, layout.wide_values
    (4224, 64)
    """

    shapes: Mapping[str, tuple[int, ...]] = field(repr=False)

    def __post_init__(self) -> None:
        if not self.shapes:
            raise ProtectionError("a model without tensors cannot be protected")
        for name, shape in self.shapes.items():
            if min(shape, default=1) < 1:
                raise ProtectionError(f"tensor '{name}' of shape {shape} holds no values")

    @cached_property
    def tensors(self) -> tuple[TensorEntry, ...]:
        """The tensors in the order of the flat vector: all wide ones first."""
        entries, start = [], 0
        for packed in (False, True):
            for name, shape in self.shapes.items():
                size = math.prod(shape)
                if packed == (len(shape) > 1 and size > SMALL):
                    part = slice(start, start + size)
                    entries.append(TensorEntry(name, tuple(shape), packed, part))
                    start += size
        return tuple(entries)

    @cached_property
    def values(self) -> int:
        """Length of the flat vector."""
        return sum(math.prod(shape) for shape in self.shapes.values())

    @cached_property
    def wide_values(self) -> int:
        """How many values at the front of the flat vector get a slot each."""
        return sum(math.prod(t.shape) for t in self.tensors if not t.packed)

    def check(self, state: State) -> None:
        """Raise :class:`ProtectionError` on other names, shapes, dtypes, or values not finite."""
        if state.keys() != self.shapes.keys():
            unmatched = sorted(state.keys() ^ self.shapes.keys())
            raise ProtectionError(f"the state and the layout differ in tensor '{unmatched[0]}'")
        for tensor in self.tensors:
            array = state[tensor.name]
            if array.dtype != np.float32 or array.shape != tensor.shape:
                raise ProtectionError(
                    f"tensor '{tensor.name}' is {array.dtype} {array.shape}, "
                    f"expected float32 {tensor.shape}"
                )
            if not np.isfinite(array).all():
                raise ProtectionError(
                    f"tensor '{tensor.name}' holds values that are not finite (NaN or ∞)"
                )

    def flatten(self, state: State) -> NDArray[np.float32]:
        """Check the state and copy it into one float32 vector ``(values,)``."""
        self.check(state)
        flat = np.empty(self.values, np.float32)
        for tensor in self.tensors:
            flat[tensor.span] = state[tensor.name].ravel()
        return flat

    def unflatten(self, flat: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """The inverse of :meth:`flatten`, in the model's order; arrays are views of ``flat``."""
        by_name = {t.name: flat[t.span].reshape(t.shape) for t in self.tensors}
        return {name: by_name[name] for name in self.shapes}
