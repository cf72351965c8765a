"""A model ⇄ slots of a BFV plaintext: fixed point, and several values in a slot.

A slot is an integer modulo the prime t (47 bits); ciphertexts add slot by slot. A *wide* value
takes a slot for itself. *Packed* values are the n balanced digits of a slot, to the base R, which
is the largest odd integer with R^n ≤ t:

    slot = Σ_k d_k·R^k,  |d_k| ≤ H = (R - 1)/2,

so |slot| ≤ (R^n - 1)/2 < t/2, and every sum whose digits stay within ±H decodes exactly.

Site i encodes d = round(α_i·x / unit), where α_i = a_i·2^-40 is its share of the total weight and
unit = range/D.

**Overflow bound.** |x| ≤ range and Σα ≤ 1 give Σ|d| ≤ D + K/2 + 1 for K sites, and
D = H - ⌊max_sites/2⌋ - 2 keeps this within H. For wide values D = 2^45, and
(t - 1)/2 > 2^45 + K/2 + 1.

**Error** of the opened mean of K sites against FedAvg in exact arithmetic, per value:

    (K + 1)·unit/(2·Σα)  +  K·2^-39·range/Σα  +  2^-24·|mean|

(rounding of each site's number, of the shares to 2^-40, of the result to float32).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.errors import ProtectionError
from ucadi_flwr.protection.encoding.layout import Layout, State, TensorEntry
from ucadi_flwr.protection.encoding.ranges import check_ranges, usual_ranges
from ucadi_flwr.protection.encoding.shares import FULL_SHARE
from ucadi_flwr.protection.encoding.slots import PLAIN_MODULUS

_WIDE_STEPS = 2**45
_CHUNK = 2**18  # values encoded at a time: a few MB of memory beside the slots


def radix(values_per_slot: int) -> int:
    """R: the largest odd integer whose n-th power is at most t.

    >>> radix(3)
    52015
    """
    base = int(PLAIN_MODULUS ** (1 / values_per_slot)) + 1
    while base**values_per_slot > PLAIN_MODULUS or base % 2 == 0:
        base -= 1
    return base


def digit(slots: NDArray[np.int64], k: int, values_per_slot: int) -> NDArray[np.int64]:
    """The digits d_k of slots ``(slots,)`` whose digits are all within ±(R - 1)/2.

    >>> digit(np.array([7 - 2 * radix(3)]), 1, 3).tolist()
    [-2]
    """
    base = radix(values_per_slot)

    def without_lower(k: int) -> NDArray[np.int64]:
        power = int(base**k)
        return (slots + power // 2) // power  # floor: the lower digits are within ±power/2 of 0

    shifted = without_lower(k)
    return shifted if k == values_per_slot - 1 else shifted - base * without_lower(k + 1)


@dataclass(frozen=True)
class BfvModelCodec:
    """Encodes a model for BFV: the share, the range of each tensor, wide values, packed values.

    A range travels as the 32 bits of its float32, read as an integer. Every site adds the same
    ranges, so that a sum of K contributions holds K times each and opens without any knowledge of
    the round before.

    Args:
        layout: the tensors of the model.
        values_per_slot: n, packed values in a slot: 2, 3 or 4.
        max_sites: most contributions to one sum.

    >>> layout = Layout({"bias": (2,)})
    >>> codec = BfvModelCodec(layout, values_per_slot=3, max_sites=128)
    >>> state = {"bias": np.array([0.5, -2.0], np.float32)}
    >>> slots = codec.encode(state, state, {}, FULL_SHARE // 2)
    >>> mean, answered = codec.decode(slots + slots, contributions=2)
    >>> mean["bias"].tolist(), answered
    ([0.5, -2.0], 1.0)
    """

    layout: Layout
    values_per_slot: int
    max_sites: int

    @property
    def steps(self) -> int:
        """D: how many units a packed tensor's range has."""
        return radix(self.values_per_slot) // 2 - self.max_sites // 2 - 2

    @property
    def slots(self) -> int:
        """Number of slots of one model."""
        return 1 + len(self.layout.tensors) + self.layout.wide_values + self._packed_slots

    @property
    def _packed_slots(self) -> int:
        return -(-(self.layout.values - self.layout.wide_values) // self.values_per_slot)

    def encode(
        self, state: State, reference: State, multipliers: Mapping[str, int], share: int
    ) -> NDArray[np.int64]:
        """The slots ``(slots,)`` of one contribution.

        Args:
            state: the site's model, float32.
            reference: the global model that gives the ranges.
            multipliers: tensor → power of two by which its range is wider than usual.
            share: α in units of 2^-40 (:func:`~ucadi_flwr.protection.encoding.shares.share_units`).

        Raises :class:`ucadi_flwr.protection.encoding.ranges.OutOfRange` where a value does not fit,
        and :class:`ProtectionError` where a state does not fit the layout.
        """
        ranges = usual_ranges(self.layout, reference, multipliers)
        self.layout.check(state)
        check_ranges(self.layout, state, ranges, multipliers)
        alpha, base = share / FULL_SHARE, radix(self.values_per_slot)
        slots = np.zeros(self.slots, np.int64)
        slots[0], slots[1 : 1 + len(ranges)] = share, ranges.view(np.uint32)
        body = slots[1 + len(ranges) :]
        for tensor, unit in zip(self.layout.tensors, self._units(ranges), strict=True):
            values = state[tensor.name].ravel()
            for part, held_by, k in self._chunks(tensor):
                fixed = np.rint(values[part].astype(np.float64) * (alpha / unit))
                body[held_by] += fixed.astype(np.int64) * base**k
        return slots

    def terms(self, slots: NDArray[np.int64], contributions: int) -> bytes:
        """What all contributions must have in common beside the plan: the bits of the ranges."""
        return self._range_bits(slots, contributions).tobytes()

    def decode(
        self, slots: NDArray[np.int64], contributions: int
    ) -> tuple[dict[str, NDArray[np.float32]], float]:
        """The weighted mean of a sum of contributions, and Σα, the share that answered.

        The caller must have checked, by the MAC, that the sum is one of that many contributions,
        all with the same ranges.

        Raises :class:`ProtectionError` where Σα is not above 0 and at most 1.
        """
        total = int(slots[0])
        if not 0 < total <= FULL_SHARE:
            raise ProtectionError(f"the shares add up to {total / FULL_SHARE:g}")
        ranges = self._range_bits(slots, contributions).astype(np.uint32).view(np.float32)
        body = slots[1 + len(ranges) :]
        alpha, flat = total / FULL_SHARE, np.empty(self.layout.values, np.float32)
        for tensor, unit in zip(self.layout.tensors, self._units(ranges), strict=True):
            values = flat[tensor.span]
            for part, held_by, k in self._chunks(tensor):
                fixed = body[held_by]
                if tensor.packed:
                    fixed = digit(fixed, k, self.values_per_slot)
                values[part] = fixed * (unit / alpha)
        return self.layout.unflatten(flat), alpha

    def _chunks(self, tensor: TensorEntry) -> Iterator[tuple[slice, slice, int]]:
        """Runs of a tensor's values, the slots that hold them, and as which digit.

        The packed values lie in n parts of as many values as there are slots: part k is digit k.
        """
        start, size = tensor.span.start, tensor.span.stop - tensor.span.start
        wide, length = self.layout.wide_values, self._packed_slots
        done = 0
        while done < size:
            k, at = divmod(start + done - wide, length) if tensor.packed else (0, start + done)
            count = min(_CHUNK, size - done, length - at if tensor.packed else size)
            first = wide + at if tensor.packed else at
            yield slice(done, done + count), slice(first, first + count), k
            done += count

    def _range_bits(self, slots: NDArray[np.int64], contributions: int) -> NDArray[np.int64]:
        return slots[1 : 1 + len(self.layout.tensors)] // contributions

    def _units(self, ranges: NDArray[np.float32]) -> list[float]:
        steps = [self.steps if t.packed else _WIDE_STEPS for t in self.layout.tensors]
        return [float(r) / n for r, n in zip(ranges, steps, strict=True)]
