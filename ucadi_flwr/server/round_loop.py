"""The rounds of a run, one after the other, and the test at the end.

Flower's own loop gathers all replies before it hands over the first; this one streams them. It
uses the strategy's four hooks, repeats a round that did not count, and saves the state after every
round that did.
"""

import time
from typing import TYPE_CHECKING

from flwr.app import ArrayRecord, ConfigRecord, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result

from ucadi_flwr.errors import FederationError, QuorumError

if TYPE_CHECKING:
    from ucadi_flwr.server.strategy import UcadiStrategy

MAX_ATTEMPTS = 8
"""A round whose values fit no range after so many attempts belongs to a model that diverged."""


def run(
    strategy: "UcadiStrategy", grid: Grid, initial: ArrayRecord, num_rounds: int, timeout: float
) -> Result:
    """Run rounds until ``num_rounds`` count, then test every model at every site.

    Args:
        strategy: its state says which rounds were played before.
        grid: Flower's.
        initial: the model that all start from.
        num_rounds: of the whole run.
        timeout: seconds until a round closes without the late sites.

    Raises :class:`FederationError` where the federation cannot continue.
    """
    recipe = strategy.recipe
    strategy.begin_at(initial)
    strategy.summary()
    strategy.cohort.wait_for_sites(
        grid, strategy.expected_sites, recipe.min_sites, recipe.wait_for_sites
    )
    result = Result()
    for server_round in range(len(strategy.state.rounds) + 1, num_rounds + 1):
        begin = time.perf_counter()
        arrays, metrics = _play(strategy, grid, initial, server_round, timeout)
        strategy.record.seconds = time.perf_counter() - begin
        strategy.save(strategy.state)
        strategy.journal.round_done(strategy.record, num_rounds)
        result.train_metrics_clientapp[server_round] = metrics
        result.arrays = arrays if arrays is not None else result.arrays
    for trained_at in sorted(strategy.state.models):
        tested = _test(strategy, grid, initial, trained_at, timeout)
        if tested is not None:
            result.evaluate_metrics_clientapp[num_rounds] = tested
        strategy.journal.tested(trained_at, strategy.tests[trained_at])
    return result


def _play(
    strategy: "UcadiStrategy", grid: Grid, initial: ArrayRecord, server_round: int, timeout: float
) -> tuple[ArrayRecord | None, MetricRecord]:
    """Repeat a round with wider ranges, or when sites are back, until it counts."""
    quorum, wait = strategy.recipe.min_sites, strategy.recipe.wait_for_sites
    for _ in range(MAX_ATTEMPTS):
        try:
            messages = list(strategy.configure_train(server_round, initial, ConfigRecord(), grid))
            replies = strategy.cohort.exchange(grid, messages, timeout)
            arrays, metrics = strategy.aggregate_train(server_round, replies)
        except QuorumError as error:
            if given_up := _give_up_bad_sum(strategy):
                raise FederationError(f"{error}; {given_up}") from None
            missed: FederationError = error
            strategy.journal.log(f"{error}; waiting {wait:.0f} s for sites to come back")
            if not strategy.cohort.wait_for_quorum(grid, quorum, wait, without=strategy.failed):
                raise
            continue
        if metrics is not None:
            return arrays, metrics
        missed = FederationError(
            f"round {server_round}: values fit no range after {MAX_ATTEMPTS} attempts; the model "
            f"has diverged in tensor '{next(iter(strategy.ranges))}'"
        )
    raise missed


def _test(
    strategy: "UcadiStrategy", grid: Grid, initial: ArrayRecord, trained_at: str, timeout: float
) -> MetricRecord | None:
    """Test one model at every site; None if no counts came."""
    number, config = strategy.record.round, ConfigRecord({"trained-at": trained_at})
    messages = strategy.configure_evaluate(number, initial, config, grid)
    encrypted = strategy.recipe.protection.metrics == "encrypted"  # a site seals its counts once
    ask = strategy.cohort.exchange if encrypted else strategy.cohort.exchange_with_retry
    metrics = strategy.aggregate_evaluate(number, ask(grid, messages, timeout))
    if metrics is None and (given_up := _give_up_bad_sum(strategy)):
        failures = strategy.record.describe_failures()
        raise FederationError(f"the last test: {given_up}; left out: {failures}")
    return metrics


def _give_up_bad_sum(strategy: "UcadiStrategy") -> str:
    """If no site could open the newest sum, go back to the one before it; what was done."""
    former = strategy.state.without_newest() if strategy.none_could_open else None
    if former is None:
        return ""
    strategy.state, bad, good = former
    strategy.save(strategy.state)
    return f"the sum of round {bad} is given up and the model of round {good} stays"
