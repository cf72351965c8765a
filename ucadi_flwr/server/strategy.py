"""The Flower strategy that every recipe in ``strategies/`` configures.

Its four hooks are one round: who takes part, what each site is sent, how the replies are summed,
and when the round counts. Replies are added as they arrive, unread, in constant memory and in any
order; a site that fails or is late is named and left out of the round, and asked again in the next.
They work under Flower's own loop (``start``); ours is :mod:`ucadi_flwr.server.round_loop`.
"""

import json
from collections.abc import Callable, Iterable

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Strategy

from ucadi_flwr.errors import FederationError, QuorumError, UcadiError
from ucadi_flwr.evaluation.counts import Counts
from ucadi_flwr.exchange.agreement import Agreement, name_of
from ucadi_flwr.exchange.global_model import has_memory
from ucadi_flwr.exchange.terms import RunTerms, TestTerms, TrainTerms, WeightTerms
from ucadi_flwr.exchange.wire import blob_record
from ucadi_flwr.limits import SITE_TEXT_CHARACTERS
from ucadi_flwr.protection.keys import ServerContext
from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.results.journal import Journal
from ucadi_flwr.results.rounds import RoundRecord
from ucadi_flwr.server.accumulator import Accumulator, counts_of
from ucadi_flwr.server.cohort import Cohort, Member
from ucadi_flwr.server.cost_estimate import measure
from ucadi_flwr.server.messages import (
    ModelRecords,
    summed_bytes,
    test_messages,
    train_messages,
    trained_by,
)
from ucadi_flwr.server.replies import Reply, SiteFailure
from ucadi_flwr.server.run_state import RunState
from ucadi_flwr.server.selection import choose
from ucadi_flwr.server.weights import WeightSum, exchange_weights

MAX_ATTEMPTS = 8
"""A round whose values fit no range after so many attempts belongs to a model that diverged."""


class UcadiStrategy(Strategy):
    """Rounds of local training, weighted by data-set size × local epochs (S0) or equally (S1).

    Args:
        agreement: the recipe, the run and the model's shapes, and what is summed how.
        context: what the server has of the sites' key; it opens nothing.
        terms: of the run; they are part of every message.
        journal: gets every event as it happens.
        expected_sites: how many sites to wait for before round 1, at least the quorum.
        state: of the rounds that were played before; None: a new run.
        starts: how many processes served this run before; attempts are numbered on from theirs.
        save: called with the state after every round that counts.
        bandwidth: bytes/s between a site and the server, to report times; 0: unknown.
    """

    def __init__(
        self,
        agreement: Agreement,
        context: ServerContext,
        terms: RunTerms,
        journal: Journal,
        expected_sites: int = 0,
        state: RunState | None = None,
        starts: int = 0,
        save: Callable[[RunState], None] = lambda _: None,
        bandwidth: int = 0,
    ) -> None:
        self.agreement, self.context, self.terms, self.journal = agreement, context, terms, journal
        self.recipe, self.bandwidth, self.save = agreement.recipe, bandwidth, save
        self.expected_sites = max(expected_sites, self.recipe.min_sites)
        self.cohort = Cohort(journal, terms, sizes=self.recipe.protection.weights == "public")
        self.state = state or RunState(has_memory(self.recipe))
        self.record = self.state.rounds[-1] if self.state.rounds else RoundRecord(round=0)
        self.tests: dict[str, dict[str, Counts]] = {}
        self.failed = set[str]()
        self._first_attempt = starts * MAX_ATTEMPTS
        self._initial: ArrayRecord | None = None
        self._opened: dict[str, int] = {}
        self._weights: WeightSum | None = None
        self.ranges: dict[str, int] = {}
        self._replied = self._refused = 0

    def summary(self) -> None:
        """Write into the journal what is about to run."""
        values = self.agreement.model.layout.values
        self.journal.log(
            f"strategy {self.recipe.name}: {self.recipe.summary} {values:,} values in the model"
        )
        if self.recipe.cohort == "all":
            self.journal.log(measure(self.agreement, self.expected_sites, self.bandwidth))

    # ------------------------------------------------------------------ Flower's four hooks

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """One message a site that takes part, with what it needs to open the global model.

        A second call for the same round is another attempt at it. ``arrays`` of the first call are
        the initial model; ``config`` is not used, the run's terms are known.
        """
        self._begin_attempt(server_round, arrays)
        self.cohort.register_new_nodes(grid)
        members, shared = self._members(grid), {}
        if self.agreement.exchanges_weights:
            weights = self._exchanged_weights(grid, members)
            members = weights.of_members(members, self.recipe.min_sites)
            shared["weights"] = weights.record
        terms = TrainTerms(
            **self.terms.of_run(),
            exchange=self.exchange,
            server_round=server_round,
            trained_at=ALL_SITES,
            total_weight=sum(self.cohort.weight(site, self.recipe) for _, site in members),
            multipliers=json.dumps(self.ranges, sort_keys=True),
        )
        records = ModelRecords(self.state, self._opened, self._initial or arrays)
        messages = train_messages(members, terms, self.recipe, records, shared)
        self.record.bytes_down += sum(summed_bytes(m, self.recipe) for m in messages)
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Reply]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Add the replies up; raise :class:`QuorumError` below the quorum.

        ``replies`` may be a generator: each is released before the next is asked for. (None, None)
        if values did not fit their ranges and the round has to be repeated.
        """
        sums = Accumulator(self.agreement, self.context, self.exchange)
        self.record.sites.clear()
        self._collect(replies, lambda site, reply: self._add(sums, site, reply))
        self.record.add_seconds += sums.seconds
        if sums.ranges:
            names = {**sums.ranges, **self.ranges}
            self.ranges = {
                name: max(sums.ranges.get(name, 1), self.ranges.get(name, 1)) for name in names
            }
            return None, None
        if len(self.record.sites) < self.recipe.min_sites:
            raise QuorumError(
                f"round {server_round}: {len(self.record.sites)} sites answered and min-sites is "
                f"{self.recipe.min_sites}; left out: {self.record.describe_failures()}"
            )
        self.record.loss = self.record.mean_loss()
        self.state = self.state.after(self.record, self.exchange, sums.models(), sums.losses())
        loss = {} if self.record.loss is None else {"loss": self.record.loss}
        newest = self.state.newest(ALL_SITES)
        arrays = blob_record(newest) if newest else None
        return arrays, MetricRecord({**loss, "sites": len(self.record.sites)})

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """One message a site: test a model on your own test cases.

        ``config`` may name the model as ``trained-at``; unless it does, it is that of all sites.
        """
        trained_at = str(config.get("trained-at", ALL_SITES))
        self.tests[trained_at] = {}
        terms = TestTerms(**self.terms.of_run(), exchange=self.exchange, trained_at=trained_at)
        everyone = self.terms.tested == "test"  # a site that is held out has no other cases
        members = self.cohort.present(grid, all_sites=everyone)
        records = ModelRecords(self.state, self._opened, self._initial or arrays)
        return test_messages(members, terms, self.recipe, records, server_round)

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Reply]
    ) -> MetricRecord | None:
        """Sum the sites' counts: by site where they are public, else unread."""
        encrypted = self.recipe.protection.metrics == "encrypted"
        sums = Accumulator(self.agreement, self.context, self.exchange)
        tested = self.tests[next(reversed(self.tests))]

        def add(site: str, reply: Message) -> None:
            if encrypted:
                sums.add(reply.content, "counts", site)
            else:
                tested[site] = counts_of(reply, self.agreement.classes)
            self._opened[site] = server_round

        self._collect(replies, add)
        if encrypted:
            members = sums.members("counts")
            if len(members) < self.recipe.min_sites:
                return None
            self.state = self.state.with_other(f"counts/{sums.name}", sums.result("counts"))
            return MetricRecord({"sites": len(members)})
        if not tested:
            return None
        confusion = np.sum([counts.confusion for counts in tested.values()], axis=0)
        right, n = int(np.trace(confusion)), int(confusion.sum())
        return MetricRecord({"accuracy": right / n, "num-examples": n})

    @property
    def exchange(self) -> str:
        """``round.attempt`` of the attempt that is going on."""
        attempt = self._first_attempt + max(self.record.attempts - 1, 0)
        return name_of(self.record.round, attempt)

    @property
    def none_could_open(self) -> bool:
        """Whether sites refused what they were last sent and no other site answered."""
        return self._refused > 0 and not self._replied

    def begin_at(self, initial: ArrayRecord) -> None:
        """Set the model that all start from, unless it is set already."""
        self._initial = initial if self._initial is None else self._initial

    def _begin_attempt(self, server_round: int, initial: ArrayRecord) -> None:
        self.begin_at(initial)
        self._replied = self._refused = 0
        if self.record.round == server_round:
            self.record.attempts += 1
        else:
            self.record = RoundRecord(round=server_round)
            self.failed, self.ranges = set(), {}

    def _members(self, grid: Grid) -> list[Member]:
        """Node and site of those who take part in this round."""
        present, rounds = self.cohort.present(grid), [*self.state.rounds, self.record]
        policy, number, quorum = self.recipe.selection, self.record.round, self.recipe.min_sites
        chosen = choose(policy, number, self.terms.seed, present, rounds, quorum)
        return chosen[:1] if self.recipe.cohort == "pooled" else chosen

    def _exchanged_weights(self, grid: Grid, members: list[Member]) -> WeightSum:
        """The sum of encrypted weights, asked for anew if it lacks one of the members."""
        if self._weights is None or not self._weights.covers(members):
            sums = Accumulator(self.agreement, self.context, self.exchange)
            terms = WeightTerms(**self.terms.of_run(), exchange=self.exchange)
            weights = exchange_weights(sums, self.cohort, grid, members, terms)
            for failure in weights.failures:
                self._leave_out(failure)
            self._weights = weights
        return self._weights

    def _collect(self, replies: Iterable[Reply], add: Callable[[str, Message], None]) -> None:
        """Call ``add(site, reply)`` with every reply; a site whose reply it refuses is left out."""
        self._replied = self._refused = 0
        for reply in map(self.cohort.without_errors, replies):
            if isinstance(reply, SiteFailure):
                self._leave_out(reply)
                continue
            site = self.cohort.site_of(reply)
            try:
                refusal = reply.content.config_records.get("refused")
                if refusal is not None:
                    self._refused += 1
                    raise FederationError(str(refusal.get("why"))[:SITE_TEXT_CHARACTERS])
                self._replied += 1
                add(site, reply)
            except UcadiError as error:
                self._leave_out(SiteFailure(site, str(error), passing=False))

    def _add(self, sums: Accumulator, site: str, reply: Message) -> None:
        """One reply to training: an update, or a request for wider ranges."""
        record, pooled = self.record, self.recipe.cohort == "pooled"
        if why := sums.asks_for_ranges(reply):
            self._opened[site] = record.round - 1
            self.journal.log(f"round {record.round} · {site}: {why}")
            return
        public = self.recipe.protection.weights == "public" and not pooled
        declared = self.cohort.examples[site] if public else None
        name = ALL_SITES if pooled else site
        answer = sums.add_update(reply, name, trained_by(site, self.recipe), declared)
        record.sites[name] = answer
        record.bytes_up += summed_bytes(reply, self.recipe)
        self._opened[site] = record.round - 1
        self.journal.answer(record.round, name, answer)

    def _leave_out(self, failure: SiteFailure) -> None:
        """Record a site that is left out of this round, and send it everything in the next."""
        if not failure.passing:
            self.failed.add(failure.site)
        self._opened.pop(failure.site, None)
        self._weights = None
        self.record.fail(failure.site, failure.reason)
        self.journal.failure(self.record.round, failure.site, failure.reason)
