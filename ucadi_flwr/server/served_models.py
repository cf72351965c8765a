"""The models of a run as its server has them: one of all sites, or one of each.

It keeps what each site has opened, so that a message holds only what its site lacks, and messages
to sites that lack the same share one copy of it.
"""

from dataclasses import dataclass, field

from flwr.app import ArrayRecord, RecordDict

from ucadi_flwr.exchange.agreement import parse_name
from ucadi_flwr.exchange.global_model import has_memory
from ucadi_flwr.exchange.wire import blob_record
from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.recipes.strategy import StrategyRecipe


class ServedModels:
    """Histories by where each model is trained; all begin with the same initial model."""

    def __init__(self, recipe: StrategyRecipe) -> None:
        self.recipe = recipe
        self.histories: dict[str, History] = {}
        self._opened: dict[str, int] = {}
        self._records: dict[tuple[str, int | None], dict[str, ArrayRecord]] = {}

    def trained_at(self, site: str) -> str:
        """Whose model a site trains: all sites' or its own."""
        return site if self.recipe.cohort == "each-site" else ALL_SITES

    def begin(self, trained_at: str, initial: ArrayRecord) -> None:
        """Have a model that nobody has trained yet, unless it is here already."""
        if trained_at not in self.histories:
            self.histories[trained_at] = History(initial, whole=has_memory(self.recipe))

    def content(self, site: str, trained_at: str) -> RecordDict:
        """What this site lacks of the model."""
        opened = self._opened.get(site)
        key = (trained_at, opened)
        if key not in self._records:
            self._records[key] = self.histories[trained_at].since(opened)
        return RecordDict({**self._records[key]})

    def add(self, trained_at: str, name: str, total: bytes) -> None:
        """The sum of a round, by ``round.attempt``."""
        self.histories[trained_at].add(name, total)
        self._records.clear()

    def trained(self) -> list[str]:
        """Whose models have a round behind them, by name."""
        return sorted(name for name, history in self.histories.items() if history.sums)

    def give_up_newest(self) -> tuple[int, int] | None:
        """Go back from a sum that no site could open: its round and that before; None at none."""
        history = self.histories.get(ALL_SITES)
        if history is None or not history.sums:
            return None
        self._records.clear()
        return history.revert()

    def note_opened(self, site: str, server_round: int) -> None:
        """A site has the model of a round."""
        self._opened[site] = server_round

    def forget(self, site: str) -> None:
        """Send everything to a site that failed."""
        self._opened.pop(site, None)


@dataclass
class History:
    """One model. ``whole``: a server optimiser's step needs the rounds before, so all are kept.

    Else the newest sum tells all; the one before it stays until the sites have opened the newest.
    """

    initial: ArrayRecord = field(repr=False)
    whole: bool
    sums: dict[str, bytes] = field(default_factory=dict, repr=False)

    def add(self, name: str, total: bytes) -> None:
        """A round's sum, by ``round.attempt``."""
        if not self.whole:
            self.sums = dict(list(self.sums.items())[-1:])
        self.sums[name] = total

    def revert(self) -> tuple[int, int]:
        """Give up the newest sum, which the sites could not open: its round, and that before."""
        bad, _ = self.sums.popitem()
        return parse_name(bad)[0], max((parse_name(name)[0] for name in self.sums), default=0)

    @property
    def newest(self) -> dict[str, bytes]:
        """The sums that make the model: all that are kept, or the last."""
        return self.sums if self.whole else dict(list(self.sums.items())[-1:])

    def since(self, opened: int | None) -> dict[str, ArrayRecord]:
        """The records that a site needs that has the model of round ``opened`` (None: none)."""
        if not self.whole:
            opened = None
        content: dict[str, ArrayRecord] = {}
        if opened is None and (self.whole or not self.sums):
            content["initial"] = self.initial
        after = -1 if opened is None else opened
        missing = {name: b for name, b in self.newest.items() if parse_name(name)[0] > after}
        if missing:
            content["sums"] = blob_record(missing)
        return content
