"""The models of a run as its server has them: one of all sites, or one of each.

It keeps what each site has opened, so that a message holds only what its site lacks, and messages
to sites that lack the same share one copy of it.
"""

from flwr.app import ArrayRecord, RecordDict

from ucadi_flwr.data.sites import POOLED
from ucadi_flwr.exchange.global_model import has_memory
from ucadi_flwr.exchange.history import History
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
        return site if self.recipe.cohort == "each-site" else POOLED

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
        history = self.histories.get(POOLED)
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
