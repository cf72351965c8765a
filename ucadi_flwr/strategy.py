"""The Flower strategy that every recipe in ``strategies/`` configures.

Who takes part, how answers are summed, when a round counts. Answers are added as they arrive,
unread, in constant memory and in any order; a site that fails or is late is named and left out of
the round, and asked again in the next. What travels is told in :mod:`ucadi_flwr.exchange.site`.
"""

import json
import time
from collections.abc import Callable, Iterable, Iterator

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy

from ucadi_flwr.cohort import Cohort
from ucadi_flwr.data.sites import POOLED
from ucadi_flwr.errors import FederationError, UcadiError
from ucadi_flwr.evaluation.counts import Counts
from ucadi_flwr.exchange.agreement import Agreement, name_of
from ucadi_flwr.exchange.global_model import has_memory
from ucadi_flwr.exchange.history import History
from ucadi_flwr.exchange.tally import MAX_TEXT, Tally
from ucadi_flwr.exchange.weights import WeightExchange
from ucadi_flwr.exchange.wire import blob_record, model_arrays, size
from ucadi_flwr.preflight import measure
from ucadi_flwr.protection.keys import ServerContext
from ucadi_flwr.rounds import Journal, RoundRecord
from ucadi_flwr.selection import choose

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
        bandwidth: bytes a second between a site and the server, to tell times; 0: not known.
    """

    def __init__(
        self,
        agreement: Agreement,
        context: ServerContext,
        expected_sites: int,
        journal: Journal,
        bandwidth: int = 0,
    ) -> None:
        self.agreement, self.context, self.journal = agreement, context, journal
        self.recipe = agreement.recipe
        self.bandwidth = bandwidth
        self.expected_sites = max(expected_sites, self.recipe.min_sites)
        self.cohort = Cohort(journal, sizes=self.recipe.protection.weights == "public")
        self.models: dict[str, History] = {}
        self.tests: dict[str, dict[str, Counts]] = {}
        self.sealed: dict[str, bytes] = {}
        self.rounds: list[RoundRecord] = []
        self._attempt = 0
        self._ranges: dict[str, int] = {}
        self._opened: dict[str, int] = {}
        self._refusals = 0
        self._weights = WeightExchange(agreement, context, self.cohort, self._left_out)

    def summary(self) -> None:
        """Tell the journal what is about to run."""
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
        messages = []
        for node, site in chosen:
            trained_at = self._trained_at(site)
            history = self.models.setdefault(trained_at, self._history(arrays))
            content = history.since(self._opened.get(site))
            content["config"] = ConfigRecord({**common, "trained-at": trained_at})
            if self.agreement.exchanges_weights:
                content["weights"] = blob_record(self._weights.total())
            messages.append(self._message(content, "train", node, server_round))
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Add the answers up; raise :class:`FederationError` below the quorum.

        ``replies`` may be a generator: each answer is let go before the next is asked for.
        (None, None) if values did not fit their ranges and the round has to be repeated.
        """
        record, name = self.rounds[-1], name_of(server_round, self._attempt)
        self._refusals = 0
        tally = Tally(self.agreement, self.context, name)
        record.sites.clear()
        self._each(replies, lambda site, reply: self._take(tally, site, reply, record))
        record.add_seconds += tally.seconds
        if tally.ranges:
            self._ranges = {
                n: max(tally.ranges.get(n, 1), self._ranges.get(n, 1))
                for n in {**tally.ranges, **self._ranges}
            }
            return None, None
        if len(record.sites) < self.recipe.min_sites:
            kept = self._give_up_a_bad_sum()
            raise FederationError(
                f"round {server_round}: {len(record.sites)} sites answered and min-sites is "
                f"{self.recipe.min_sites}{kept}; left out: {record.describe_failures()}"
            )
        for (purpose, trained_at), total in tally.sums.items():
            if purpose == "model":
                self.models[trained_at].add(name, total.result())
            else:
                self.sealed[f"{purpose}/{name}"] = total.result()
        self._ranges = {}
        record.loss = record.mean_loss()
        loss = {} if record.loss is None else {"loss": record.loss}
        newest = self.models.get(POOLED)
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
            content = self.models[trained_at].since(self._opened.get(site))
            content["config"] = ConfigRecord({**config, **added})
            messages.append(self._message(content, "evaluate", node, server_round))
        return messages

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """Sum the sites' counts: by site where they are public, else unread."""
        if self.recipe.protection.metrics == "encrypted":
            return self._aggregate_sealed_counts(server_round, replies)
        tested = self.tests[next(reversed(self.tests))]
        self._each(replies, lambda site, reply: tested.update({site: self._counts(reply)}))
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
        self.cohort.gather(
            grid, config, self.expected_sites, self.recipe.min_sites, self.recipe.wait_for_sites
        )
        result = Result()
        for server_round in range(1, num_rounds + 1):
            begin = time.perf_counter()
            self.rounds.append(RoundRecord(round=server_round))
            arrays, metrics = self._run_round(server_round, initial_arrays, config, grid, timeout)
            self.rounds[-1].seconds = time.perf_counter() - begin
            self.journal.round_done(self.rounds[-1], num_rounds)
            result.train_metrics_clientapp[server_round] = metrics
            result.arrays = arrays if arrays is not None else result.arrays
        for trained_at in sorted(self.models):
            self.tests[trained_at] = {}
            test_config = ConfigRecord({**(evaluate_config or config), "trained-at": trained_at})
            self._refusals = 0
            messages = self.configure_evaluate(num_rounds, initial_arrays, test_config, grid)
            replies = self.cohort.exchange(grid, messages, timeout)
            tested = self.aggregate_evaluate(num_rounds, self._named(replies))
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
        """Repeat with wider ranges until the round counts."""
        record = self.rounds[-1]
        for self._attempt in range(MAX_ATTEMPTS):
            record.attempts = self._attempt + 1
            self.cohort.greet(grid, config)
            messages = list(self.configure_train(server_round, initial, config, grid))
            record.bytes_down += sum(map(self._shared, messages))
            replies = self.cohort.exchange(grid, messages, timeout)
            arrays, metrics = self.aggregate_train(server_round, self._named(replies))
            if metrics is not None:
                return arrays, metrics
        raise FederationError(
            f"round {server_round}: values fit no range after {MAX_ATTEMPTS} attempts; the model "
            f"has diverged in tensor '{next(iter(self._ranges))}'"
        )

    # ------------------------------------------------------------------ parts

    def _give_up_a_bad_sum(self) -> str:
        """If sites could not open the newest sum, go back to the one before it; say so."""
        history = self.models.get(POOLED)
        if not self._refusals or history is None or not history.sums:
            return ""
        bad, good = history.revert()
        return f" (the sum of round {bad} is given up and the model of round {good} stays)"

    def _each(self, replies: Iterable[Message], take: Callable[[str, Message], None]) -> None:
        """Take every site's answer; one that does not fit is written down, and left out."""
        for reply in replies:
            site = self.cohort.sender(reply)
            try:
                refusal = reply.content.config_records.get("refused")
                if refusal is not None:
                    self._refusals += 1
                    raise FederationError(str(refusal.get("why"))[:MAX_TEXT])
                take(site, reply)
            except UcadiError as error:
                self._left_out(site, str(error))

    def _take(self, tally: Tally, site: str, reply: Message, record: RoundRecord) -> None:
        """One answer to training: a contribution, or a wish for wider ranges."""
        pooled = self.recipe.cohort == "pooled"
        if why := tally.asks_for_ranges(reply):
            self.journal.log(f"round {record.round} · {site}: {why}")
            return
        public = self.recipe.protection.weights == "public" and not pooled
        answer = tally.record(reply, self.cohort.examples[site] if public else None)
        name = POOLED if pooled else site
        if self.recipe.protection.metrics == "encrypted":
            tally.add(reply.content, "losses", name)
        tally.add(reply.content, "model", name, self._trained_at(site))
        record.sites[name] = answer
        record.bytes_up += self._shared(reply)
        self._opened[site] = record.round - 1
        self.journal.answer(record.round, name, answer)

    def _aggregate_sealed_counts(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        tally = Tally(self.agreement, self.context, name_of(server_round, self._attempt))
        self._each(replies, lambda site, reply: tally.add(reply.content, "counts", site))
        members = tally.members("counts")
        if len(members) < self.recipe.min_sites:
            return None
        self.sealed[f"counts/{tally.name}"] = tally.sums["counts", POOLED].result()
        return MetricRecord({"sites": len(members)})

    def _weight(self, site: str) -> int:
        """The weight that a site declared; 0 where that is not known."""
        if self.recipe.weights == "equal":
            return 1
        return self.cohort.examples[site] * self.recipe.local_epochs

    def _history(self, arrays: ArrayRecord) -> History:
        initial = model_arrays(RecordDict({"initial": arrays}), "initial")
        return History(initial, whole=has_memory(self.recipe))

    def _trained_at(self, site: str) -> str:
        return site if self.recipe.cohort == "each-site" else POOLED

    def _message(self, content: RecordDict, kind: str, node: int, server_round: int) -> Message:
        return Message(
            content, node, kind, ttl=self.recipe.round_timeout, group_id=str(server_round)
        )

    def _named(self, replies: Iterable[Message | tuple[str, str]]) -> Iterator[Message]:
        """Pass answers on; a site that failed or is late is written down instead."""
        for reply in replies:
            if isinstance(reply, tuple):
                self._left_out(*reply)
            else:
                yield reply

    def _left_out(self, site: str, reason: str) -> None:
        self._opened.pop(site, None)
        self._weights.forget()
        self.rounds[-1].fail(site, reason)
        self.journal.failure(self.rounds[-1].round, site, reason)

    def _shared(self, message: Message) -> int:
        """Bytes of what is summed; the reference arms move it on one machine only."""
        return size(message.content, _SHARED) if self.recipe.cohort == "all" else 0

    def _counts(self, reply: Message) -> Counts:
        try:
            vector = reply.content.array_records["counts"]["counts"].numpy()
            return Counts.from_vector(vector, self.agreement.classes)
        except (EOFError, KeyError, TypeError, ValueError) as error:
            raise FederationError(f"the test's answer cannot be used ({error})") from None
