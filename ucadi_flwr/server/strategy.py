"""The Flower strategy that every recipe in ``strategies/`` configures.

Who takes part, how answers are summed, when a round counts. Replies are added as they arrive,
unread, in constant memory and in any order; a site that fails or is late is named and left out of
the round, and asked again in the next. What travels is told in :mod:`ucadi_flwr.site.exchange`.
"""

import json
import time
from collections.abc import Callable, Iterable

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy

from ucadi_flwr.errors import FederationError, QuorumError
from ucadi_flwr.evaluation.counts import Counts
from ucadi_flwr.exchange.agreement import Agreement, name_of, parse_name
from ucadi_flwr.exchange.wire import blob_record, size
from ucadi_flwr.protection.keys import ServerContext
from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.results.journal import Journal
from ucadi_flwr.results.rounds import RoundRecord
from ucadi_flwr.server.accumulator import Accumulator, counts_of
from ucadi_flwr.server.checkpoints import RunState
from ucadi_flwr.server.cohort import Cohort, Failure
from ucadi_flwr.server.cost_estimate import measure
from ucadi_flwr.server.replies import Replies
from ucadi_flwr.server.selection import choose
from ucadi_flwr.server.served_models import ServedModels
from ucadi_flwr.server.weights import WeightExchange

MAX_ATTEMPTS = 8
"""A round whose values fit no range after so many attempts belongs to a model that diverged."""

_SHARED = ("initial", "sums", "weights", "sealed")


class UcadiStrategy(Strategy):
    """Rounds of local training, weighted by data-set size × local epochs (S0) or equally (S1).

    Args:
        agreement: the recipe, the run and the model's shapes, and what is summed how.
        context: what the server has of the sites' key; nothing opens with it.
        expected_sites: how many sites to wait for before round 1, at least the quorum.
        journal: told what happens, as it happens.
        starts: how many processes served this run before; attempts are numbered on from theirs.
        save: keeps the course of the run after every round that counts.
        bandwidth: bytes a second between a site and the server, to tell times; 0: not known.
    """

    def __init__(
        self,
        agreement: Agreement,
        context: ServerContext,
        expected_sites: int,
        journal: Journal,
        bandwidth: int = 0,
        starts: int = 0,
        save: Callable[[RunState], None] = lambda _: None,
    ) -> None:
        self.agreement, self.context, self.journal = agreement, context, journal
        self.recipe = agreement.recipe
        self.bandwidth = bandwidth
        self.expected_sites = max(expected_sites, self.recipe.min_sites)
        self.cohort = Cohort(journal, sizes=self.recipe.protection.weights == "public")
        self.models = ServedModels(self.recipe)
        self.tests: dict[str, dict[str, Counts]] = {}
        self.sealed: dict[str, bytes] = {}
        self.rounds: list[RoundRecord] = []
        self._first_attempt = self._attempt = starts * MAX_ATTEMPTS
        self._save = save
        self._ranges: dict[str, int] = {}
        self.answers = Replies(self.cohort, journal, self._forget)
        self._weights = WeightExchange(agreement, context, self.cohort, self.answers.left_out)

    def summary(self) -> None:
        """Tell the journal what is about to run."""
        values = self.agreement.model.layout.values
        self.journal.log(
            f"strategy {self.recipe.name}: {self.recipe.summary} {values:,} values in the model"
        )
        if self.recipe.cohort == "all":
            self.journal.log(measure(self.agreement, self.expected_sites, self.bandwidth))

    @property
    def course(self) -> RunState:
        """How far the run is; another strategy can go on from it."""
        models = {name: dict(h.sums) for name, h in self.models.histories.items()}
        return RunState(list(self.rounds), models, dict(self.sealed))

    def go_on_from(self, course: RunState, initial: ArrayRecord) -> None:
        """Take up a run after the rounds of ``course``, which all began with ``initial``."""
        self.rounds, self.sealed = list(course.ledger), dict(course.others)
        for trained_at, sums in course.models.items():
            self.models.begin(trained_at, initial)
            for name in sorted(sums, key=parse_name):
                self.models.add(trained_at, name, sums[name])
        self.journal.resumed(self.rounds[-1].round)

    # ------------------------------------------------------------------ Flower's four hooks

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """One message a site that takes part, with what it needs to open the global model."""
        here, seed = self.cohort.present(grid), int(str(config.get("seed", 0)))
        wanted, least = self.recipe.selection, self.recipe.min_sites
        everyone = choose(wanted, server_round, seed, here, self.rounds, least)
        name = name_of(server_round, self._attempt)
        chosen = everyone[:1] if self.recipe.cohort == "pooled" else everyone
        if self.agreement.exchanges_weights:
            chosen = self._weights.exchange(grid, chosen, config, name)
        common = {
            **config,
            "run": self.agreement.run,
            "server-round": server_round,
            "exchange": name,
            "multipliers": json.dumps(self._ranges, sort_keys=True),
            "total-weight": sum(self._weight(site) for _, site in chosen),
        }
        shared = {}
        if self.agreement.exchanges_weights:
            shared["weights"] = blob_record(self._weights.total())
        messages = []
        for node, site in chosen:
            trained_at = self.models.trained_at(site)
            self.models.begin(trained_at, arrays)
            content = self.models.content(site, trained_at)
            content.update(shared)
            content["config"] = ConfigRecord({**common, "trained-at": trained_at})
            messages.append(self._message(content, "train", node, server_round))
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message | Failure]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Add the answers up; raise :class:`QuorumError` below the quorum.

        ``replies`` may be a generator: each answer is let go before the next is asked for.
        (None, None) if values did not fit their ranges and the round has to be repeated.
        """
        record, name = self.rounds[-1], name_of(server_round, self._attempt)
        tally = Accumulator(self.agreement, self.context, name)
        record.sites.clear()
        self.answers.each(replies, lambda site, reply: self._take(tally, site, reply, record))
        record.add_seconds += tally.seconds
        if tally.ranges:
            self._ranges = {
                n: max(tally.ranges.get(n, 1), self._ranges.get(n, 1))
                for n in {**tally.ranges, **self._ranges}
            }
            return None, None
        if len(record.sites) < self.recipe.min_sites:
            kept = self._give_up_a_bad_sum()
            error = FederationError if kept else QuorumError
            raise error(
                f"round {server_round}: {len(record.sites)} sites answered and min-sites is "
                f"{self.recipe.min_sites}{kept}; left out: {record.describe_failures()}"
            )
        for (purpose, trained_at), total in tally.sums.items():
            if not total.members:
                continue
            if purpose == "model":
                self.models.add(trained_at, name, total.result())
            else:
                self.sealed[f"{purpose}/{name}"] = total.result()
        self._ranges = {}
        record.loss = record.mean_loss()
        loss = {} if record.loss is None else {"loss": record.loss}
        newest = self.models.histories.get(ALL_SITES)
        arrays = blob_record(newest.newest) if newest else None
        return arrays, MetricRecord({**loss, "sites": len(record.sites)})

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """One message a site: test the model that ``config`` names on your own test cases."""
        trained_at = str(config["trained-at"])
        added = {"run": self.agreement.run, "exchange": name_of(server_round, self._attempt)}
        messages = []
        everyone = config["tested"] == "test"  # a site that is held out has no other cases
        for node, site in self.cohort.present(grid, all_sites=everyone):
            content = self.models.content(site, trained_at)
            content["config"] = ConfigRecord({**config, **added})
            messages.append(self._message(content, "evaluate", node, server_round))
        return messages

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message | Failure]
    ) -> MetricRecord | None:
        """Sum the sites' counts: by site where they are public, else unread."""
        if self.recipe.protection.metrics == "encrypted":
            return self._aggregate_sealed_counts(server_round, replies)
        tested = self.tests[next(reversed(self.tests))]

        def take(site: str, reply: Message) -> None:
            tested[site] = counts_of(reply, self.agreement.classes)

        self.answers.each(replies, take)
        if not tested:
            return None
        confusion = np.sum([counts.confusion for counts in tested.values()], axis=0)
        right, n = int(np.trace(confusion)), int(confusion.sum())
        return MetricRecord({"accuracy": right / n, "num-examples": n})

    # ------------------------------------------------------------------ the rounds

    def start(
        self,
        grid: Grid,
        initial_arrays: ArrayRecord,
        num_rounds: int = 3,
        timeout: float | None = None,
        train_config: ConfigRecord | None = None,
        evaluate_config: ConfigRecord | None = None,
        evaluate_fn: object = None,
    ) -> Result:
        """Run the rounds, then test every model at every site.

        Flower's own ``start`` gathers all answers before it hands over the first; this one
        streams them. ``timeout`` (seconds) is the recipe's ``round-timeout`` unless given.
        """
        self.summary()
        timeout = self.recipe.round_timeout if timeout is None else timeout
        config = train_config or ConfigRecord()
        self.cohort.wait_for_sites(
            grid, config, self.expected_sites, self.recipe.min_sites, self.recipe.wait_for_sites
        )
        result = Result()
        for server_round in range(len(self.rounds) + 1, num_rounds + 1):
            begin = time.perf_counter()
            self.rounds.append(RoundRecord(round=server_round))
            self.answers.begin(self.rounds[-1])
            arrays, metrics = self._run_round(server_round, initial_arrays, config, grid, timeout)
            self.rounds[-1].seconds = time.perf_counter() - begin
            self._save(self.course)
            self.journal.round_done(self.rounds[-1], num_rounds)
            result.train_metrics_clientapp[server_round] = metrics
            result.arrays = arrays if arrays is not None else result.arrays
        for trained_at in self.models.trained():
            self.tests[trained_at] = {}
            test_config = ConfigRecord({**(evaluate_config or config), "trained-at": trained_at})
            messages = self.configure_evaluate(num_rounds, initial_arrays, test_config, grid)
            sealed = self.recipe.protection.metrics == "encrypted"  # which a site does only once
            ask = self.cohort.exchange if sealed else self.cohort.exchange_with_retry
            replies = ask(grid, messages, timeout)
            tested = self.aggregate_evaluate(num_rounds, replies)
            if tested is None and (gone := self._give_up_a_bad_sum()):
                raise FederationError(
                    f"the last test{gone}; left out: {self.rounds[-1].describe_failures()}"
                )
            if tested is not None:
                result.evaluate_metrics_clientapp[num_rounds] = tested
            self.journal.tested(trained_at, self.tests[trained_at])
        return result

    def _run_round(
        self,
        server_round: int,
        initial: ArrayRecord,
        config: ConfigRecord,
        grid: Grid,
        timeout: float,
    ) -> tuple[ArrayRecord | None, MetricRecord]:
        """Repeat with wider ranges, or when sites are back, until the round counts."""
        record, quorum, wait = self.rounds[-1], self.recipe.min_sites, self.recipe.wait_for_sites
        self._ranges = {}
        for attempt in range(MAX_ATTEMPTS):
            self._attempt = self._first_attempt + attempt
            record.attempts = attempt + 1
            self.cohort.register_new_nodes(grid, config)
            try:
                messages = list(self.configure_train(server_round, initial, config, grid))
                record.bytes_down += sum(map(self._shared, messages))
                replies = self.cohort.exchange(grid, messages, timeout)
                arrays, metrics = self.aggregate_train(server_round, replies)
            except QuorumError as error:
                missed: FederationError = error
                self.journal.log(f"{error}; waiting {wait:.0f} s for sites to come back")
                failed = self.answers.failed
                if not self.cohort.wait_for_quorum(grid, config, quorum, wait, without=failed):
                    raise
                continue
            if metrics is not None:
                return arrays, metrics
            missed = FederationError(
                f"round {server_round}: values fit no range after {MAX_ATTEMPTS} attempts; the "
                f"model has diverged in tensor '{next(iter(self._ranges))}'"
            )
        raise missed

    # ------------------------------------------------------------------ parts

    def _give_up_a_bad_sum(self) -> str:
        """If no site could open the newest sum, go back to the one before it; say so."""
        if not self.answers.none_could_open or (rounds := self.models.give_up_newest()) is None:
            return ""
        bad, good = rounds
        self._save(self.course.until(good))
        return f" (the sum of round {bad} is given up and the model of round {good} stays)"

    def _take(self, tally: Accumulator, site: str, reply: Message, record: RoundRecord) -> None:
        """One answer to training: a contribution, or a wish for wider ranges."""
        pooled = self.recipe.cohort == "pooled"
        if why := tally.asks_for_ranges(reply):
            self.models.note_opened(site, record.round - 1)
            self.journal.log(f"round {record.round} · {site}: {why}")
            return
        public = self.recipe.protection.weights == "public" and not pooled
        answer = tally.record(reply, self.cohort.examples[site] if public else None)
        name = ALL_SITES if pooled else site
        if self.recipe.protection.metrics == "encrypted":
            tally.add(reply.content, "losses", name)
        tally.add(reply.content, "model", name, self.models.trained_at(site))
        record.sites[name] = answer
        record.bytes_up += self._shared(reply)
        self.models.note_opened(site, record.round - 1)
        self.journal.answer(record.round, name, answer)

    def _aggregate_sealed_counts(
        self, server_round: int, replies: Iterable[Message | Failure]
    ) -> MetricRecord | None:
        tally = Accumulator(self.agreement, self.context, name_of(server_round, self._attempt))
        self.answers.each(replies, lambda site, reply: tally.add(reply.content, "counts", site))
        members = tally.members("counts")
        if len(members) < self.recipe.min_sites:
            return None
        self.sealed[f"counts/{tally.name}"] = tally.sums["counts", ALL_SITES].result()
        return MetricRecord({"sites": len(members)})

    def _forget(self, site: str) -> None:
        self.models.forget(site)
        self._weights.forget()

    def _weight(self, site: str) -> int:
        """The weight that a site declared; 0 where that is not known."""
        if self.recipe.weights == "equal":
            return 1
        return self.cohort.examples[site] * self.recipe.local_epochs

    def _message(self, content: RecordDict, kind: str, node: int, server_round: int) -> Message:
        return Message(
            content, node, kind, ttl=self.recipe.round_timeout, group_id=str(server_round)
        )

    def _shared(self, message: Message) -> int:
        """Bytes of what is summed; the reference arms move it on one machine only."""
        return size(message.content, _SHARED) if self.recipe.cohort == "all" else 0
