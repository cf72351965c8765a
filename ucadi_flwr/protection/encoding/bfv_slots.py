"""Numbers ⇄ slots of a BFV plaintext: fixed point, and several values to a slot.

A slot is an integer modulo the prime t (47 bits); ciphertexts add slot by slot. *Wide* values take
a slot each, *packed* ones are the n balanced digits, base R = ⌊t^(1/n)⌋ made odd, of a slot:

    slot = Σ_k d_k·R^k,  |d_k| ≤ H = (R - 1)/2,

so |slot| ≤ (R^n - 1)/2 < t/2 and every sum whose digits stay within ±H decodes exactly.

Site i encodes d = round(α_i·x / unit), where α_i = a_i·2^-40 is its share of the total weight and
unit = range/D. **Overflow:** |x| ≤ range and Σα ≤ 1 give Σ|d| ≤ D + K/2 + 1, and D is H less that
for the plan's ``max_sites``. Wide values have D = 2^45 and H = (t - 1)/2 > 2^45 + K/2 + 1.

**Error** of the opened mean of K sites against float FedAvg, per value:

    (K + 1)·unit/(2·Σα)  +  K·2^-39·range/Σα  +  2^-24·|mean|

(rounding of each site's number, of the weights to 2^-40, of the result to float32).
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.errors import ProtectionError
from ucadi_flwr.protection.encoding.layout import Layout, State, Tensor
from ucadi_flwr.protection.encoding.ranges import check_ranges, usual_ranges

PLAIN_MODULUS = 140_737_488_273_409
"""t: the largest prime of 47 bits that is 1 modulo 2·4096."""

HALF = (PLAIN_MODULUS - 1) // 2
"""Largest |sum| that a slot holds."""

SHARE_UNITS = 2**40
"""a_i of a site with all the weight."""

_WIDE_STEPS = 2**45
_PIECE = 2**18  # values that are worked on at a time: beside the slots, a few MB


def share(weight: int, total_weight: int) -> int:
    """α_i = weight/total_weight in units of 2^-40, rounded down so that no sum exceeds 1."""
    if not 0 < weight <= total_weight:
        raise ProtectionError(
            f"a weight of {weight} of {total_weight} cannot be; it must be above 0 and within the "
            "total that the sites declared"
        )
    found = weight * SHARE_UNITS // total_weight
    if not found:
        raise ProtectionError(f"a weight of {weight} of {total_weight} is too small to count")
    return found


def radix(values_per_slot: int) -> int:
    """R: the largest odd integer whose n-th power is within t."""
    found = int(PLAIN_MODULUS ** (1 / values_per_slot)) + 1
    while found**values_per_slot > PLAIN_MODULUS or found % 2 == 0:
        found -= 1
    return found


def digit(slots: NDArray[np.int64], k: int, values_per_slot: int) -> NDArray[np.int64]:
    """d_k of slots ``(slots,)``, if all their digits are within ±(R - 1)/2."""
    base = radix(values_per_slot)

    def without_lower(k: int) -> NDArray[np.int64]:
        power = int(base**k)
        return (slots + power // 2) // power  # floor: the lower digits are within ±half of 0

    found = without_lower(k)
    return found if k == values_per_slot - 1 else found - base * without_lower(k + 1)


@dataclass(frozen=True)
class BfvModelCodec:
    """A model as slots: the share a_i, the code of each tensor's range, wide values, packed ones.

    A range's code is the 32 bits of its float32. Every site adds the same codes, so that a sum of
    K contributions holds K × each and opens without any knowledge of the round before.
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
        self, state: State, reference: State, multipliers: Mapping[str, int], share_units: int
    ) -> NDArray[np.int64]:
        """Slots ``(slots,)`` of one contribution.

        Raises :class:`ucadi_flwr.protection.encoding.ranges.OutOfRange` where a value does not fit.
        """
        ranges = usual_ranges(self.layout, reference, multipliers)
        self.layout.check(state)
        check_ranges(self.layout, state, ranges, multipliers)
        alpha, base = share_units / SHARE_UNITS, radix(self.values_per_slot)
        slots = np.zeros(self.slots, np.int64)
        slots[0], slots[1 : 1 + len(ranges)] = share_units, ranges.view(np.uint32)
        body = slots[1 + len(ranges) :]
        for tensor, unit in zip(self.layout.tensors, self._units(ranges), strict=True):
            values = state[tensor.name].ravel()
            for part, where, k in self._pieces(tensor):
                fixed = np.rint(values[part].astype(np.float64) * (alpha / unit))
                body[where] += fixed.astype(np.int64) * base**k
        return slots

    def agreed(self, slots: NDArray[np.int64], contributions: int) -> bytes:
        """What every contribution must have in common: the codes of the ranges."""
        return self._codes(slots, contributions).tobytes()

    def decode(
        self, slots: NDArray[np.int64], contributions: int
    ) -> tuple[dict[str, NDArray[np.float32]], float]:
        """The weighted mean of a sum of contributions, and Σα, the share that answered.

        The sum must be known to be one of that many contributions, all with the same ranges.
        """
        total = int(slots[0])
        if not 0 < total <= SHARE_UNITS:
            raise ProtectionError(f"the shares add up to {total / SHARE_UNITS:g}")
        ranges = self._codes(slots, contributions).astype(np.uint32).view(np.float32)
        body = slots[1 + len(ranges) :]
        alpha, flat = total / SHARE_UNITS, np.empty(self.layout.values, np.float32)
        for tensor, unit in zip(self.layout.tensors, self._units(ranges), strict=True):
            values = flat[tensor.where]
            for part, where, k in self._pieces(tensor):
                found = body[where]
                if tensor.packed:
                    found = digit(found, k, self.values_per_slot)
                values[part] = found * (unit / alpha)
        return self.layout.unflatten(flat), alpha

    def _pieces(self, tensor: Tensor) -> Iterator[tuple[slice, slice, int]]:
        """Runs of a tensor's values, the slots that hold them, and as which digit.

        The packed values lie in n parts of as many values as there are slots: part k is digit k.
        """
        start, size = tensor.where.start, tensor.where.stop - tensor.where.start
        wide, length = self.layout.wide_values, self._packed_slots
        done = 0
        while done < size:
            k, at = divmod(start + done - wide, length) if tensor.packed else (0, start + done)
            count = min(_PIECE, size - done, length - at if tensor.packed else size)
            first = wide + at if tensor.packed else at
            yield slice(done, done + count), slice(first, first + count), k
            done += count

    def _codes(self, slots: NDArray[np.int64], contributions: int) -> NDArray[np.int64]:
        return slots[1 : 1 + len(self.layout.tensors)] // contributions

    def _units(self, ranges: NDArray[np.float32]) -> list[float]:
        steps = [self.steps if t.packed else _WIDE_STEPS for t in self.layout.tensors]
        return [float(r) / n for r, n in zip(ranges, steps, strict=True)]
