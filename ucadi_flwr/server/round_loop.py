"""The rounds of a run, one after the other, and the test at the end.

Flower's own loop gathers all replies before it hands over the first; this one streams them. It
uses the strategy's four hooks, repeats a round that did not count, and saves the state after every
round that did.
"""

import time

from flwr.app import ArrayRecord, ConfigRecord
from flwr.serverapp import Grid

from ucadi_flwr.errors import FederationError, QuorumError
from ucadi_flwr.server.strategy import MAX_ATTEMPTS, UcadiStrategy


def play_rounds(strategy: UcadiStrategy, grid: Grid, initial: ArrayRecord, num_rounds: int) -> None:
    """Play rounds until ``num_rounds`` count, then test every model at every site.

    Args:
        strategy: its state says which rounds were played before, and holds the result.
        grid: Flower's.
        initial: the model that all start from.
        num_rounds: of the whole run.

    Raises :class:`FederationError` where the federation cannot continue.
    """
    recipe = strategy.recipe
    strategy.begin_at(initial)
    strategy.summary()
    strategy.cohort.wait_for_sites(
        grid, strategy.expected_sites, recipe.min_sites, recipe.wait_for_sites
    )
    for server_round in range(len(strategy.state.rounds) + 1, num_rounds + 1):
        begin = time.perf_counter()
        _play(strategy, grid, initial, server_round)
        strategy.record.seconds = time.perf_counter() - begin
        strategy.save(strategy.state)
        strategy.journal.round_done(strategy.record, num_rounds)
    for trained_at in sorted(strategy.state.models):
        _test(strategy, grid, initial, trained_at)
        strategy.journal.tested(trained_at, strategy.tests[trained_at])


def _play(strategy: UcadiStrategy, grid: Grid, initial: ArrayRecord, server_round: int) -> None:
    """Repeat a round with wider ranges, or when sites are back, until it counts."""
    quorum, wait = strategy.recipe.min_sites, strategy.recipe.wait_for_sites
    for _ in range(MAX_ATTEMPTS):
        try:
            messages = list(strategy.configure_train(server_round, initial, ConfigRecord(), grid))
            replies = strategy.cohort.exchange(grid, messages, strategy.recipe.round_timeout)
            _, metrics = strategy.aggregate_train(server_round, replies)
        except QuorumError as error:
            if given_up := _give_up_bad_sum(strategy):
                raise FederationError(f"{error}; {given_up}") from None
            missed: FederationError = error
            strategy.journal.log(f"{error}; waiting {wait:.0f} s for sites to come back")
            if not strategy.cohort.wait_for_quorum(grid, quorum, wait, without=strategy.failed):
                raise
            continue
        if metrics is not None:
            return
        missed = FederationError(
            f"round {server_round}: values fit no range after {MAX_ATTEMPTS} attempts; the model "
            f"has diverged in tensor '{next(iter(strategy.ranges))}'"
        )
    raise missed


def _test(strategy: UcadiStrategy, grid: Grid, initial: ArrayRecord, trained_at: str) -> None:
    """Test one model at every site."""
    number, config = strategy.record.round, ConfigRecord({"trained-at": trained_at})
    messages = strategy.configure_evaluate(number, initial, config, grid)
    encrypted = strategy.recipe.protection.metrics == "encrypted"  # a site seals its counts once
    ask = strategy.cohort.exchange if encrypted else strategy.cohort.exchange_with_retry
    metrics = strategy.aggregate_evaluate(
        number, ask(grid, messages, strategy.recipe.round_timeout)
    )
    if metrics is None and (given_up := _give_up_bad_sum(strategy)):
        failures = strategy.record.describe_failures()
        raise FederationError(f"the last test: {given_up}; left out: {failures}")


def _give_up_bad_sum(strategy: UcadiStrategy) -> str:
    """If no site could open the newest sum, go back to the one before it; what was done."""
    former = strategy.state.without_newest() if strategy.none_could_open else None
    if former is None:
        return ""
    strategy.state, bad, good = former
    strategy.save(strategy.state)
    return f"the sum of round {bad} is given up and the model of round {good} stays"
