"""A site's end of the exchange: open what the server sends, seal what goes back.

Records of a message to a site, all optional: ``initial`` (a model in clear, before round 1),
``sums`` (``round.attempt`` → sum of models) and ``weights`` (the same, of weights). Replies hold
``sealed``: ``model``, ``losses``, ``weights`` or ``counts``.
"""

import time
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
from flwr.app import RecordDict
from numpy.typing import NDArray

from ucadi_flwr.errors import FederationError
from ucadi_flwr.exchange.agreement import Agreement, loss_vector
from ucadi_flwr.exchange.global_model import GlobalModel, has_memory, replay_rounds
from ucadi_flwr.exchange.initial_model import read_initial_model
from ucadi_flwr.exchange.terms import TrainTerms, read_multipliers
from ucadi_flwr.exchange.wire import arrays, blobs
from ucadi_flwr.protection.keys import SiteKey
from ucadi_flwr.protection.protect import make_site
from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.site.memory import SiteMemory


class SiteExchange:
    """One site in one message. ``seconds`` counts the time that protection took."""

    def __init__(
        self,
        agreement: Agreement,
        key: SiteKey | None,
        member: str,
        memory: SiteMemory,
        trainable: Collection[str],
    ) -> None:
        self.agreement, self.memory, self.trainable = agreement, memory, trainable
        self._end = make_site(key, member, agreement.recipe.min_sites)
        self._key, self.member, self.seconds = key, member, 0.0

    def open(self, content: RecordDict, trained_at: str = ALL_SITES) -> GlobalModel:
        """The model to continue from, its tensors in the order of the agreement."""
        remembers = has_memory(self.agreement.recipe)
        known = self.memory.model() if remembers else None
        if initial := arrays(content, "initial"):
            known = GlobalModel(0, read_initial_model(initial, self._key, self.agreement.shapes))
        with self._timed():
            model = replay_rounds(
                known,
                blobs(content, "sums"),
                self.agreement,
                self._end,
                self.trainable,
                trained_at,
            )
        if remembers:
            self.memory.keep(model)
        ordered = {name: model.state[name] for name in self.agreement.shapes}
        return replace(model, state=ordered)

    def total_weight(self, content: RecordDict, declared: int, weight: int) -> int:
        """W: what the server declares, or what the sites' own encrypted exchange says."""
        if self.agreement.recipe.cohort != "all":
            return weight
        if not self.agreement.exchanges_weights:
            return declared
        sums = blobs(content, "weights")
        if len(sums) != 1:  # a total that the server declares would let it bisect the weight
            raise FederationError("the message lacks the sum of the encrypted weights")
        ((name, blob),) = sums.items()
        message_context = self.agreement.message_context("weights", name)
        opened = self._end.open_integers(self.agreement.integers("weights"), message_context, blob)
        if self.member not in opened.members or weight != self.memory.weight:
            raise FederationError(
                "this site's weight is not the one in the total; it is asked again next round"
            )
        return int(opened.values[0])

    def seal_model(
        self,
        terms: TrainTerms,
        state: Mapping[str, NDArray[np.float32]],
        reference: GlobalModel,
        weight: int,
        total_weight: int,
    ) -> bytes:
        """A contribution to the mean.

        Args:
            terms: of the round.
            state: the site's model, name → tensor.
            reference: the model that it started from, whose values give the ranges.
            weight: the site's.
            total_weight: of all sites.

        Raises :class:`ucadi_flwr.protection.encoding.ranges.OutOfRange` where a value does not fit.
        """
        context = self.agreement.message_context("model", terms.attempt_name, terms.trained_at)
        with self._timed():
            blob = self._end.seal(
                self.agreement.model,
                context,
                state,
                reference.state,
                weight,
                total_weight,
                read_multipliers(terms.multipliers),
            )
        self.memory.seal_once(
            "model", terms.attempt_name
        )  # after it: a value out of range is no update
        return blob

    def seal_weight(self, name: str, weight: int) -> bytes:
        """The site's weight, for W."""
        self.memory.seal_once("weights", name)
        self.memory.weight = weight
        message_context = self.agreement.message_context("weights", name)
        vector = np.array([weight], np.int64)
        return self._end.seal_integers(self.agreement.integers("weights"), message_context, vector)

    def seal_loss(self, name: str, loss: float, examples: int) -> bytes:
        """The site's training loss."""
        plan = self.agreement.integers("losses")
        vector = loss_vector(loss, examples, plan)
        return self._end.seal_integers(plan, self.agreement.message_context("losses", name), vector)

    def seal_counts(self, name: str, counts: NDArray[np.int64]) -> bytes:
        """The counts of a test."""
        self.memory.seal_once("counts", name)
        message_context = self.agreement.message_context("counts", name)
        return self._end.seal_integers(self.agreement.integers("counts"), message_context, counts)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        begin = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - begin
