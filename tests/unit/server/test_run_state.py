"""The state of a run: a value that grows by a round, and what a site lacks of it."""

import numpy as np
import pytest
from flwr.app import ArrayRecord, RecordDict

from ucadi_flwr.exchange import wire
from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.results.rounds import RoundRecord
from ucadi_flwr.server.run_state import RunState

INITIAL = wire.array_record({"w": np.zeros(2, np.float32)})


def after(rounds: int, keep_all: bool) -> RunState:
    state = RunState(keep_all)
    for number in range(1, rounds + 1):
        name, total = f"{number}.0", bytes([number])
        losses = {f"losses/{name}": b"l"}
        state = state.after(RoundRecord(number), name, {ALL_SITES: total}, losses)
    return state


def missing(state: RunState, opened: int | None) -> dict[str, ArrayRecord]:
    return state.missing(ALL_SITES, opened, INITIAL)


def test_without_memory_the_newest_sum_is_sent_and_one_before_it_kept() -> None:
    assert set(missing(RunState(keep_all=False), None)) == {"initial"}
    state = after(3, keep_all=False)
    for opened in (None, 0, 2):
        content = missing(state, opened)
        assert wire.blobs(RecordDict({**content}), "sums") == {"3.0": b"\3"}
        assert "initial" not in content
    assert list(state.models[ALL_SITES]) == ["2.0", "3.0"]
    assert state.newest(ALL_SITES) == {"3.0": b"\3"}


def test_with_memory_a_site_is_sent_what_it_lacks() -> None:
    state = after(11, keep_all=True)
    assert list(missing(state, 9)["sums"]) == ["10.0", "11.0"]
    assert "initial" not in missing(state, 9)
    assert len(missing(state, None)["sums"]) == 11
    assert "initial" in missing(state, None)
    assert len(state.newest(ALL_SITES)) == 11


@pytest.mark.parametrize("keep_all", [False, True])
def test_a_bad_sum_is_given_up_with_all_of_its_round(keep_all: bool) -> None:
    state = after(11, keep_all).with_other("counts/11.0", b"c")
    former = state.without_newest()
    assert former is not None
    before, bad, good = former
    assert (bad, good) == (11, 10)
    assert [record.round for record in before.rounds] == list(range(1, 11))
    assert "losses/10.0" in before.others
    assert not {"losses/11.0", "counts/11.0"} & before.others.keys()
    assert list(before.newest(ALL_SITES))[-1] == "10.0"
    assert len(state.rounds) == 11, "the state that was is a value of its own"
    assert RunState(keep_all).without_newest() is None
    only = after(1, keep_all).without_newest()
    assert only is not None
    assert (only[1], only[2], only[0].rounds) == (1, 0, ())
