"""The MAC over the slots: equal to its equation, and different after every change."""

import numpy as np
import pytest

from ucadi_flwr.protection.encoding.slots import HALF, PLAIN_MODULUS
from ucadi_flwr.protection.kdf import derive
from ucadi_flwr.protection.mac import _BLOCKS, LinearMac, MembershipTags, Tags

KEY, TERMS = b"k" * 32, b"a" * 16
ROWS = np.random.default_rng(0).integers(-HALF, HALF, (3, 50), endpoint=True)


def slow_tags(rows: np.ndarray, members: list[str]) -> list[int]:
    """The docstring's equation in Python's integers."""
    blocks, slots = rows.shape
    stream = derive(KEY, "hash", TERMS, size=8 * 2 * (slots + blocks))
    numbers = [
        int.from_bytes(stream[i : i + 8], "little") % PLAIN_MODULUS
        for i in range(0, len(stream), 8)
    ]
    tags = []
    for k in range(2):
        points = numbers[k * (slots + blocks) : (k + 1) * (slots + blocks)]
        rho, sigma = points[:slots], points[slots:]
        tag = sum(
            sigma[b] * sum(rho[j] * int(rows[b, j]) for j in range(slots)) for b in range(blocks)
        )
        for member in members:
            pad = derive(KEY, "pad", TERMS, member.encode(), size=32)
            tag += int.from_bytes(pad[16 * k : 16 * k + 16], "big")
        tags.append((tag + HALF) % PLAIN_MODULUS - HALF)
    return tags


def test_the_equation() -> None:
    assert LinearMac().of(KEY, TERMS, ROWS, ["a", "b"]).tolist() == slow_tags(ROWS, ["a", "b"])


def test_the_equation_over_many_blocks() -> None:
    rows = np.resize(ROWS, (2 * _BLOCKS + 1, 5))
    assert LinearMac().of(KEY, TERMS, rows, ["a"]).tolist() == slow_tags(rows, ["a"])


def test_tags_add_up_as_slots_do() -> None:
    mac = LinearMac()
    other = np.roll(ROWS, 1, axis=0)
    total = mac.of(KEY, TERMS, ROWS, ["a"]) + mac.of(KEY, TERMS, other, ["b"])
    opened = (ROWS + other + HALF) % PLAIN_MODULUS - HALF
    assert mac.match((total + HALF) % PLAIN_MODULUS - HALF, mac.of(KEY, TERMS, opened, "ab"))


@pytest.mark.parametrize("where", [(0, 0), (0, 49), (2, 0), (2, 49)])
@pytest.mark.parametrize("by", [1, -1, 2**40])
def test_one_changed_slot_changes_every_tag(where: tuple[int, int], by: int) -> None:
    changed = ROWS.copy()
    changed[where] = (int(changed[where]) + by + HALF) % PLAIN_MODULUS - HALF
    before, after = (LinearMac().of(KEY, TERMS, rows, ["a"]) for rows in (ROWS, changed))
    assert (before != after).all()


@pytest.mark.parametrize("tags", [LinearMac(), MembershipTags()])
def test_key_terms_and_members_change_the_tags(tags: Tags) -> None:
    rows = ROWS if isinstance(tags, LinearMac) else ROWS.astype(np.float64)
    genuine = tags.of(KEY, TERMS, rows, ["a", "b"])
    assert len(genuine) == tags.count
    assert tags.match(genuine, tags.of(KEY, TERMS, rows, ["b", "a"]))
    for other in (
        tags.of(b"K" * 32, TERMS, rows, ["a", "b"]),
        tags.of(KEY, b"A" * 16, rows, ["a", "b"]),
        tags.of(KEY, TERMS, rows, ["a"]),
        tags.of(KEY, TERMS, rows, ["a", "a"]),
        tags.of(KEY, TERMS, rows, ["ab"]),
    ):
        assert not tags.match(genuine, other)


def test_derived_bytes_do_not_confuse_their_parts() -> None:
    derived = {
        derive(b"key", "a", b"b", size=16),
        derive(b"key", "ab", size=16),
        derive(b"keya", "b", size=16),
        derive(b"key", "a", b"b", b"", size=16),
        derive(b"key", "a", b"", b"b", size=16),
    }
    assert len(derived) == 5
