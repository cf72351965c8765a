"""The Flower strategy that every recipe in ``strategies/`` configures.

Who takes part, how answers are summed, when a round counts. Answers are added as they arrive,
in constant memory and in any order (:mod:`ucadi_flwr.aggregation.mean`); a site that fails or is
late is named and left out of the round, and asked again in the next.
"""

import math
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import cast

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from flwr.serverapp import Grid
from flwr.serverapp.strategy import Result, Strategy

from ucadi_flwr.aggregation.mean import WeightedMean
from ucadi_flwr.aggregation.optimizers import Moments, step
from ucadi_flwr.cohort import Cohort
from ucadi_flwr.data.sites import POOLED
from ucadi_flwr.errors import FederationError
from ucadi_flwr.evaluation.counts import Counts
from ucadi_flwr.models.state import check_state
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.rounds import Journal, RoundRecord, SiteRecord

MAX_EXAMPLES = 2**31
"""A site that claims more cases than this is refused."""


class UcadiStrategy(Strategy):
    """Rounds of local training, weighted by data-set size × local epochs (S0) or equally (S1).

    Args:
        recipe: what to do.
        shapes: tensor name → shape of the model that travels.
        trainable: the tensors that a server optimiser steps; the others take the mean.
        classes: number of classes, to check counts with.
        expected_sites: how many sites to wait for before round 1, at least the quorum.
        journal: told what happens, as it happens.
    """

    def __init__(
        self,
        recipe: StrategyRecipe,
        shapes: Mapping[str, tuple[int, ...]],
        trainable: Iterable[str],
        classes: int,
        expected_sites: int,
        journal: Journal,
    ) -> None:
        self.recipe, self.shapes, self.classes = recipe, shapes, classes
        self.trainable = list(trainable)
        self.expected_sites = max(expected_sites, recipe.min_sites)
        self.journal = journal
        self.cohort = Cohort(journal)
        self.models: dict[str, ArrayRecord] = {}
        self.tests: dict[str, dict[str, Counts]] = {}
        self.rounds: list[RoundRecord] = []
        self._sent: dict[str, ArrayRecord] = {}
        self._moments: dict[str, Moments] = {}

    def summary(self) -> None:
        """Tell the journal what is about to run."""
        self.journal.log(
            f"strategy {self.recipe.name}: {self.recipe.summary} "
            f"{sum(math.prod(shape) for shape in self.shapes.values()):,} values in the model"
        )

    # ------------------------------------------------------------------ Flower's four hooks

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """One message a site that takes part, with the model it continues from."""
        everyone = self.cohort.present(grid)
        chosen = everyone[:1] if self.recipe.cohort == "pooled" else everyone
        config = ConfigRecord({**config, "server-round": server_round})
        messages = []
        for node, site in chosen:
            name = self._trained_at(site)
            self._sent[name] = self.models.get(name, arrays)
            content = RecordDict({"arrays": self._sent[name], "config": config})
            messages.append(self._message(content, "train", node, server_round))
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Add the answers up, then step; raise :class:`FederationError` below the quorum.

        ``replies`` may be a generator: each answer is let go before the next is asked for.
        """
        record = self.rounds[-1]
        means: dict[str, WeightedMean] = {}
        for reply in replies:
            site = self.cohort.sender(reply)
            try:
                state, answer = self._checked(reply)
                weight = answer.examples * answer.epochs
                mean = means.setdefault(self._trained_at(site), WeightedMean())
                mean.add(state, weight if self.recipe.weights == "size-epochs" else 1)
            except FederationError as error:
                self._left_out(site, str(error))
                continue
            record.sites[POOLED if self.recipe.cohort == "pooled" else site] = answer
            record.bytes_up += self._shared(reply)
            self.journal.answer(server_round, site, answer)
        if len(record.sites) < self.recipe.min_sites:
            raise FederationError(
                f"round {server_round}: {len(record.sites)} sites answered and min-sites is "
                f"{self.recipe.min_sites}; left out: {record.describe_failures()}"
            )
        for name, mean in means.items():
            self._step(name, mean)
        loss = record.mean_loss()
        return self.models.get(POOLED), MetricRecord({"loss": loss, "sites": len(record.sites)})

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """One message a site: test this model on your own test cases."""
        content = RecordDict({"arrays": arrays, "config": config})
        return [
            self._message(content, "evaluate", node, server_round)
            for node, _ in self.cohort.present(grid)
        ]

    def aggregate_evaluate(
        self, server_round: int, replies: Iterable[Message]
    ) -> MetricRecord | None:
        """Sum the sites' counts; remember them by site under the model's name."""
        tested = self.tests[next(reversed(self.tests))]
        for reply in replies:
            site = self.cohort.sender(reply)
            try:
                tested[site] = self._counts(reply)
            except FederationError as error:
                self._left_out(site, str(error))
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
            self.cohort.greet(grid, config)
            messages = list(self.configure_train(server_round, initial_arrays, config, grid))
            self.rounds[-1].bytes_down = sum(map(self._shared, messages))
            replies = self.cohort.exchange(grid, messages, timeout)
            arrays, metrics = self.aggregate_train(server_round, self._named(replies))
            self.rounds[-1].seconds = time.perf_counter() - begin
            self.journal.round_done(self.rounds[-1], num_rounds)
            if metrics is not None:
                result.train_metrics_clientapp[server_round] = metrics
            result.arrays = arrays if arrays is not None else result.arrays
        for trained_at, model in sorted(self.models.items()):
            self.tests[trained_at] = {}
            test_config = ConfigRecord({**(evaluate_config or config), "trained-at": trained_at})
            messages = list(self.configure_evaluate(num_rounds, model, test_config, grid))
            replies = self.cohort.exchange(grid, messages, timeout)
            tested = self.aggregate_evaluate(num_rounds, self._named(replies))
            if tested is not None:
                result.evaluate_metrics_clientapp[num_rounds] = tested
            self.journal.tested(trained_at, self.tests[trained_at])
        return result

    # ------------------------------------------------------------------ parts

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
        self.rounds[-1].fail(site, reason)
        self.journal.failure(self.rounds[-1].round, site, reason)

    def _shared(self, message: Message) -> int:
        """Bytes of the model in a message; the reference arms move it on one machine only."""
        arrays = message.content.array_records["arrays"]
        shared = self.recipe.cohort == "all"
        return sum(len(array.data) for array in arrays.values()) if shared else 0

    def _checked(self, reply: Message) -> tuple[dict[str, np.ndarray], SiteRecord]:
        try:
            arrays = reply.content.array_records["arrays"]
            metrics = reply.content.metric_records["metrics"]
            answer = SiteRecord(
                examples=int(cast(int, metrics["num-examples"])),
                epochs=int(cast(int, metrics["epochs"])),
                loss=float(cast(float, metrics["loss"])),
                seconds=float(cast(float, metrics["seconds"])),
            )
            state = {name: array.numpy() for name, array in arrays.items()}
        except (EOFError, KeyError, TypeError, ValueError) as error:
            raise FederationError(f"the answer lacks its parts ({error!r})") from None
        check_state(state, self.shapes)
        if not math.isfinite(answer.loss) or not math.isfinite(answer.seconds):
            raise FederationError(f"a loss of {answer.loss} cannot be right")
        if not 0 < answer.examples < MAX_EXAMPLES or answer.epochs != self.recipe.local_epochs:
            raise FederationError(
                f"{answer.examples} examples and {answer.epochs} epochs cannot be right"
            )
        return state, answer

    def _counts(self, reply: Message) -> Counts:
        try:
            vector = reply.content.array_records["counts"]["counts"].numpy()
            return Counts.from_vector(vector, self.classes)
        except (EOFError, KeyError, TypeError, ValueError) as error:
            raise FederationError(f"the test's answer cannot be used ({error})") from None

    def _step(self, name: str, mean: WeightedMean) -> None:
        state, self._moments[name] = step(
            self.recipe.server_optimizer,
            {key: array.numpy() for key, array in self._sent[name].items()},
            mean.mean(),
            self._moments.get(name, Moments()),
            self.trainable,
        )
        self.models[name] = ArrayRecord({key: Array(state[key]) for key in self.shapes})
