"""The state of a run between two rounds, as a value: what a checkpoint holds.

The server keeps sums that it may not be able to open. A model of all sites is ``'all'``; in the
reference arm of single sites every site has a model by its own name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from flwr.app import ArrayRecord

from ucadi_flwr.exchange.agreement import parse_name
from ucadi_flwr.exchange.wire import blob_record
from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.results.rounds import RoundRecord

Sums = Mapping[str, bytes]
"""``round.attempt`` → sum, in the order of the rounds."""


@dataclass(frozen=True)
class RunState:
    """A run after some of its rounds.

    Args:
        keep_all: a server optimiser's step depends on all rounds before, so that all sums are
            kept. Otherwise the newest sum is the whole model, and the one before it is kept until
            the sites have opened the newest.
        rounds: the records of the rounds that count, in their order.
        models: whose model → its sums.
        others: ``losses/round.attempt`` and ``counts/…`` → sums for those who can open them.
    """

    keep_all: bool
    rounds: tuple[RoundRecord, ...] = ()
    models: Mapping[str, Sums] = field(default_factory=dict, repr=False)
    others: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    def after(
        self,
        record: RoundRecord,
        name: str,
        models: Mapping[str, bytes],
        others: Mapping[str, bytes],
    ) -> "RunState":
        """The state after one more round; ``name`` is its ``round.attempt``."""
        sums = {**self.models}
        for trained_at, total in models.items():
            sums[trained_at] = {**self._kept(trained_at), name: total}
        return RunState(self.keep_all, (*self.rounds, record), sums, {**self.others, **others})

    def with_other(self, name: str, total: bytes) -> "RunState":
        """The same with one more sum beside the models'."""
        return RunState(self.keep_all, self.rounds, self.models, {**self.others, name: total})

    def without_newest(self) -> tuple["RunState", int, int] | None:
        """Give up the newest sum of all sites, which they could not open.

        The state at the sum before it, the round given up, and the round that remains (0: none).
        None if there is no sum.
        """
        sums = dict(self.models.get(ALL_SITES, {}))
        if not sums:
            return None
        bad, _ = sums.popitem()
        good = max((parse_name(name)[0] for name in sums), default=0)
        rounds = tuple(record for record in self.rounds if record.round <= good)
        others = {
            name: total
            for name, total in self.others.items()
            if parse_name(name.rpartition("/")[2])[0] <= good
        }
        models = {**self.models, ALL_SITES: sums}
        return RunState(self.keep_all, rounds, models, others), parse_name(bad)[0], good

    def newest(self, trained_at: str) -> Sums:
        """The sums that make up a model: all, or the last."""
        sums = self.models.get(trained_at, {})
        return sums if self.keep_all else dict(list(sums.items())[-1:])

    def missing(
        self, trained_at: str, opened: int | None, initial: ArrayRecord
    ) -> dict[str, ArrayRecord]:
        """The records of a message to a site that has opened the model of round ``opened``.

        ``initial`` is the model that all start from; None: the site has nothing of this run.
        """
        if not self.keep_all:
            opened = None  # a site does not keep the model
        newest = self.newest(trained_at)
        content = {"initial": initial} if opened is None and (self.keep_all or not newest) else {}
        after = -1 if opened is None else opened
        sums = {name: total for name, total in newest.items() if parse_name(name)[0] > after}
        return {**content, "sums": blob_record(sums)} if sums else content

    def _kept(self, trained_at: str) -> Sums:
        sums = self.models.get(trained_at, {})
        return sums if self.keep_all else dict(list(sums.items())[-1:])
