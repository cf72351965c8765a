"""A long run that is killed many times has every round, and its ledger's model, to the bit."""

from pathlib import Path

import pytest
from flwr.app import Error, Message
from helpers import chaos, tiny
from helpers.federation import configs, run
from safetensors.numpy import load_file

pytestmark = pytest.mark.usefixtures("no_pauses")

ROUNDS = 50


@pytest.mark.timeout(900)
def test_fifty_rounds_survive_random_faults(tmp_path: Path) -> None:
    data = tiny.write_sites(tmp_path / "data", chaos.SIZES)
    config = configs(tmp_path, data)
    wild = config("wild", recipe=chaos.RECIPE, rounds=ROUNDS, name="wild")
    faults = chaos.survive(wild, seed=7)
    assert faults["kills"] > 10
    assert all(faults[kind] > 3 for kind in ("silences", "crashes", "answers lost"))
    ledger = chaos.ledger(wild.server)
    assert chaos.done_twice(wild) == 0
    assert len(ledger) == ROUNDS
    assert {len(sites) for sites in ledger} == {2, 3}

    def absent(node: int, message: Message) -> Message:
        if message.metadata.message_type != "train":
            return message
        took_part = "abc"[node - 100] in ledger[int(message.metadata.group_id) - 1]
        return message if took_part else Message(Error(8, "not in the ledger"), reply_to=message)

    calm = config("wild", recipe=chaos.RECIPE, rounds=ROUNDS, name="calm")
    run(calm, fault=absent)
    assert chaos.ledger(calm.server) == ledger
    state, expected = (load_file(c.server / "model.safetensors") for c in (wild, calm))
    assert state.keys() == expected.keys()
    assert all(state[name].tobytes() == expected[name].tobytes() for name in state)
