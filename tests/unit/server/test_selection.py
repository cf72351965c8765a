"""Who takes part in a round."""

import math

from hypothesis import given
from hypothesis import strategies as st

from ucadi_flwr.recipes.strategy import Selection
from ucadi_flwr.results.rounds import RoundRecord, SiteRecord
from ucadi_flwr.server.selection import by_capacity, choose

SITES = [(i, name) for i, name in enumerate("abcdefgh")]


def part(seconds: float = 1.0, loss: float | None = 1.0, examples: int | None = 10) -> SiteRecord:
    return SiteRecord(examples, epochs=1, loss=loss, seconds=seconds, protect_seconds=0.0)


def selection(policy: str, fraction: float = 0.5, every: int = 4) -> Selection:
    values = {"policy": policy, "fraction": fraction, "at-least-every": every}
    return Selection.model_validate(values)


def play(
    chosen: Selection, rounds: int, seed: int, present: list[tuple[int, str]]
) -> list[set[str]]:
    """Who took part, if everybody asked answers; slower in the order of names."""
    records: list[RoundRecord] = []
    for number in range(1, rounds + 1):
        names = [site for _, site in choose(chosen, number, seed, present, records, 2)]
        sites = {name: part(seconds=ord(name) - 96) for name in names}
        records.append(RoundRecord(round=number, sites=sites))
    return [set(record.sites) for record in records]


def test_all_is_all() -> None:
    assert choose(Selection(policy="all"), 3, 1, SITES, [], 2) == SITES


@given(
    st.sampled_from(["random", "capacity"]),
    st.floats(0.05, 0.95),
    st.integers(2, 6),
    st.integers(0, 99),
    st.integers(1, 8),
)
def test_nobody_is_left_out_for_long_and_the_quorum_holds(
    policy: str, fraction: float, every: int, seed: int, count: int
) -> None:
    present = SITES[:count]
    took = play(selection(policy, fraction, every), 4 * every, seed, present)
    for sites in took:
        assert len(sites) >= min(count, max(2, math.ceil(fraction * count)))
    for _, site in present:
        for first in range(len(took) - every + 1):
            assert any(site in sites for sites in took[first : first + every])


def test_it_does_not_depend_on_anything_else() -> None:
    chosen = selection("random", 0.5, 100)
    records = [RoundRecord(round=r, sites={n: part() for n in "abcdefgh"}) for r in (1, 2, 3)]
    first = choose(chosen, 3, 7, SITES, records[:2], 2)
    assert first == choose(chosen, 3, 7, SITES, records, 2)  # round 3's own record changes nothing
    back = choose(chosen, 3, 7, SITES[::-1], records[:2], 2)
    assert sorted(back) == first
    assert {tuple(choose(chosen, 3, seed, SITES, records, 2)) for seed in range(20)} > {
        tuple(first)
    }


def test_capacity_prefers_fast_and_accurate_sites() -> None:
    slow_bad, fast_good = part(seconds=9.0, loss=2.0), part(seconds=1.0, loss=0.1)
    middle = part(seconds=3.0, loss=0.5)
    record = RoundRecord(round=1, sites={"a": slow_bad, "b": middle, "c": fast_good})
    assert by_capacity(["a", "b", "c", "new"], [record], 0) == ["new", "c", "b", "a"]


def test_seconds_count_per_case_where_sizes_are_public() -> None:
    large, small = part(seconds=10.0, examples=100), part(seconds=2.0, examples=10)
    public = RoundRecord(1, sites={"large": large, "small": small})
    assert by_capacity(["small", "large"], [public], 0) == ["large", "small"]
    hidden = RoundRecord(
        1,
        sites={
            "large": part(seconds=10.0, examples=None, loss=None),
            "small": part(seconds=2.0, examples=None, loss=None),
        },
    )
    assert by_capacity(["large", "small"], [hidden], 0) == ["small", "large"]


def test_a_site_that_failed_is_due_again() -> None:
    chosen = selection("capacity", 0.1, 3)
    records = [RoundRecord(r, sites={"a": part(), "b": part()}) for r in (1, 2, 3)]
    asked = [site for _, site in choose(chosen, 4, 0, [(0, "a"), (1, "b"), (2, "c")], records, 1)]
    assert "c" in asked


def test_a_round_that_is_repeated_asks_others_first() -> None:
    chosen, present = selection("capacity", 0.1, 9), SITES[:4]
    asked = choose(chosen, 1, 0, present, [], 2)
    (bad, *_), record = [site for _, site in asked], RoundRecord(1)
    record.fail(bad, "disk full")
    instead = [site for _, site in choose(chosen, 1, 0, present, [record], 2)]
    assert len(instead) == 2
    assert bad not in instead
    all_of_them = [site for _, site in choose(chosen, 1, 0, present, [record], 4)]
    assert bad in all_of_them
