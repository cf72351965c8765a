"""A run that is killed many times, over the loopback network."""

from pathlib import Path

import reference
from helpers import chaos, tiny
from helpers.federation import configs
from scenario import Outcome, now, scenario

ROUNDS, SEED = 50, 7


@scenario
def random_kills(folder: Path) -> Outcome:
    """50 rounds over the loopback network; server and sites die at random messages (seeded)"""
    begin = now()
    data = tiny.write_sites(folder / "data", chaos.SIZES)
    config = configs(folder, data)("wild", recipe=chaos.RECIPE, rounds=ROUNDS)
    faults = chaos.survive(config, SEED)
    took = now() - begin
    rounds = chaos.ledger(config.server)
    assert len(rounds) == ROUNDS
    expected = reference.replay(data, "wild", rounds, chaos.RECIPE, tiny.TASK)
    state = reference.model(config.server, config.task, config.strategy, Path(config.key))
    whole = sum(len(sites) == len(chaos.SIZES) for sites in rounds)
    lost = chaos.done_twice(config)
    text = (
        f"{chaos.describe(faults)}; resumed until done, {took:.0f} s in all; {ROUNDS} rounds in "
        f"the ledger, {whole} of them with all three sites"
    )
    return Outcome(text, None, lost, reference.same(state, expected))
