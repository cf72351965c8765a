"""W, the sum of the sites' weights, computed without the server's learning any of them."""

from collections.abc import Sequence
from dataclasses import dataclass

from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from ucadi_flwr.errors import QuorumError, UcadiError
from ucadi_flwr.exchange.terms import WeightTerms
from ucadi_flwr.exchange.wire import blob_record
from ucadi_flwr.server.accumulator import Accumulator
from ucadi_flwr.server.cohort import REGISTRATION_SECONDS, Cohort
from ucadi_flwr.server.replies import SiteFailure
from ucadi_flwr.server.selection import Member


@dataclass(frozen=True)
class WeightSum:
    """A sum of encrypted weights; it holds from round to round while its members stay.

    ``failures``: the sites that were asked and are not in it.
    """

    name: str
    members: frozenset[str]
    total: bytes
    failures: tuple[SiteFailure, ...] = ()

    @property
    def record(self) -> ArrayRecord:
        """The sum as it goes out with the round: ``round.attempt`` of its exchange → bytes."""
        return blob_record({self.name: self.total})

    def of_members(self, members: Sequence[Member], quorum: int) -> list[Member]:
        """Those of ``members`` that are in it; raise :class:`QuorumError` if it has too few."""
        if len(self.members) < quorum:
            reasons = "; ".join(f"{failure.site}: {failure.reason}" for failure in self.failures)
            raise QuorumError(
                f"round {self.name.partition('.')[0]}: {len(self.members)} sites gave their weight "
                f"({', '.join(sorted(self.members)) or 'none'}) and min-sites is {quorum}; "
                f"left out: {reasons}"
            )
        return [(node, site) for node, site in members if site in self.members]

    def covers(self, members: Sequence[Member]) -> bool:
        """Whether the weights of all these sites are in it."""
        return {site for _, site in members} <= self.members


def exchange_weights(
    accumulator: Accumulator,
    cohort: Cohort,
    grid: Grid,
    members: Sequence[Member],
    terms: WeightTerms,
) -> WeightSum:
    """Ask each of ``members`` for its sealed weight, and add them up.

    Args:
        accumulator: a new one for this exchange.
        cohort: sends the messages.
        grid: Flower's.
        members: node and site of those who are asked.
        terms: name the exchange.
    """
    agreement = accumulator.agreement
    seconds = min(agreement.recipe.round_timeout, REGISTRATION_SECONDS)
    content = RecordDict({"config": ConfigRecord(terms.config())})
    group = terms.attempt_name.partition(".")[0]
    messages = [
        Message(content, node, "query.weigh", ttl=seconds, group_id=group) for node, _ in members
    ]
    failures = []
    for reply in cohort.exchange(grid, messages, seconds):
        if isinstance(reply, SiteFailure):
            failures.append(reply)
            continue
        site = cohort.site_of(reply)
        try:
            accumulator.add(reply.content, "weights", site)
        except UcadiError as error:
            failures.append(SiteFailure(site, str(error), passing=False))
    in_sum = frozenset(accumulator.members("weights"))
    enough = len(in_sum) >= agreement.recipe.min_sites
    total = accumulator.result("weights") if enough else b""
    return WeightSum(terms.attempt_name, in_sum, total, tuple(failures))
