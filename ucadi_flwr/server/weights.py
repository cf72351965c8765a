"""W, the sum of the sites' weights, found without the server's learning any of them."""

from collections.abc import Callable

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from ucadi_flwr.errors import FederationError, QuorumError, UcadiError
from ucadi_flwr.exchange.agreement import Agreement
from ucadi_flwr.protection.keys import ServerContext
from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.server.accumulator import Accumulator
from ucadi_flwr.server.cohort import REGISTRATION_SECONDS, Cohort, Failure


class WeightExchange:
    """Each site seals its weight, the server adds up, and the sum goes out with the round.

    It holds from round to round, until a site that was not in it comes or one fails.
    ``left_out(site, reason, passing)`` is told who could not be added.
    """

    def __init__(
        self,
        agreement: Agreement,
        context: ServerContext,
        cohort: Cohort,
        left_out: Callable[[str, str, bool], None],
    ) -> None:
        self.agreement, self.context, self.cohort = agreement, context, cohort
        self._left_out, self._reasons = left_out, list[str]()
        self._tally: Accumulator | None = None

    def forget(self) -> None:
        """Ask again before the next round."""
        self._tally = None

    def total(self) -> dict[str, bytes]:
        """``round.attempt`` of the exchange → the sum."""
        if self._tally is None:
            raise FederationError("the weights were not exchanged")
        return {self._tally.name: self._tally.sums["weights", ALL_SITES].result()}

    def exchange(
        self, grid: Grid, chosen: list[tuple[int, str]], config: ConfigRecord, name: str
    ) -> list[tuple[int, str]]:
        """Those of the chosen (node, site) whose weight is in the sum; at least the quorum."""
        recipe = self.agreement.recipe
        if self._tally is None or {s for _, s in chosen} - self._tally.members("weights"):
            self._tally = self._ask(grid, chosen, config, name)
        members = self._tally.members("weights")
        if len(members) < recipe.min_sites:
            raise QuorumError(
                f"round {name.partition('.')[0]}: {len(members)} sites gave their weight "
                f"({', '.join(sorted(members)) or 'none'}) and min-sites is {recipe.min_sites}; "
                f"left out: {'; '.join(self._reasons)}"
            )
        return [(node, site) for node, site in chosen if site in members]

    def _ask(
        self, grid: Grid, chosen: list[tuple[int, str]], config: ConfigRecord, name: str
    ) -> Accumulator:
        tally = Accumulator(self.agreement, self.context, name)
        seconds = min(self.agreement.recipe.round_timeout, REGISTRATION_SECONDS)
        group = name.partition(".")[0]
        asked = ConfigRecord({**config, "run": self.agreement.run, "exchange": name})
        content = RecordDict({"config": asked})
        self._reasons.clear()
        messages = [
            Message(content, node, "query.weigh", ttl=seconds, group_id=group) for node, _ in chosen
        ]
        for reply in self.cohort.exchange(grid, messages, seconds):
            if isinstance(reply, Failure):
                self._reasons.append(f"{reply.site}: {reply.reason}")
                self._left_out(*reply)
                continue
            site = self.cohort.sender(reply)
            try:
                tally.add(reply.content, "weights", site)
            except UcadiError as error:
                self._reasons.append(f"{site}: {error}")
                self._left_out(site, str(error), False)
        return tally
