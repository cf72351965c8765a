"""The server's end of one attempt at a round: answers checked, and added unread as they come."""

import math
import time
from dataclasses import dataclass, field
from typing import cast

from flwr.app import Message, RecordDict

from ucadi_flwr.aggregation.mean import WeightedMean
from ucadi_flwr.errors import FederationError
from ucadi_flwr.evaluation.counts import Counts
from ucadi_flwr.exchange.agreement import Agreement, Purpose
from ucadi_flwr.exchange.wire import blob, read_multipliers
from ucadi_flwr.limits import SITE_TEXT_CHARACTERS
from ucadi_flwr.protection.keys import ServerContext
from ucadi_flwr.protection.protect import ContributionSum, make_sum
from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.results.rounds import SiteRecord


@dataclass
class Accumulator:
    """Sums of one attempt, by purpose and by whose model it is; nothing here can be opened.

    ``name`` is ``round.attempt``. ``ranges`` holds the multipliers that sites asked for; if any
    did, the attempt does not count. ``seconds`` is what adding took.
    """

    agreement: Agreement
    context: ServerContext
    name: str
    sums: dict[tuple[Purpose, str], ContributionSum] = field(default_factory=dict)
    ranges: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0

    def add(
        self, content: RecordDict, purpose: Purpose, sender: str, trained_at: str = ALL_SITES
    ) -> None:
        """Add what one site sealed; raise :class:`UcadiError`, adding nothing, if it cannot be."""
        contribution = blob(content, "sealed", purpose)
        begin = time.perf_counter()
        key = (purpose, trained_at)
        if key not in self.sums:
            self.sums[key] = make_sum(
                self.context,
                self.agreement.plan(purpose),
                self.agreement.message_context(purpose, self.name, trained_at),
                self.agreement.recipe.min_sites,
                WeightedMean,
            )
        self.sums[key].add(contribution, sender)
        self.seconds += time.perf_counter() - begin

    def add_update(
        self, reply: Message, member: str, trained_at: str, declared: int | None
    ) -> SiteRecord:
        """Add a site's update, and its loss where losses are encrypted; what it says of itself.

        Args:
            reply: to training.
            member: the name in the sum: the site's, or that of all sites where images are pooled.
            trained_at: whose model it is.
            declared: the number of cases that it must have, if known.
        """
        answer = self.record(reply, declared)
        if self.agreement.recipe.protection.metrics == "encrypted":
            self.add(reply.content, "losses", member)
        self.add(reply.content, "model", member, trained_at)
        return answer

    def members(self, purpose: Purpose) -> set[str]:
        """Who is in the sum of all sites."""
        total = self.sums.get((purpose, ALL_SITES))
        return set(total.members) if total else set()

    def result(self, purpose: Purpose, trained_at: str = ALL_SITES) -> bytes:
        """One sum, as bytes for every site; raise below the quorum."""
        return self.sums[purpose, trained_at].result()

    def models(self) -> dict[str, bytes]:
        """Whose model → its sum, for all that have a member."""
        return {
            trained_at: total.result()
            for (purpose, trained_at), total in self.sums.items()
            if purpose == "model" and total.members
        }

    def losses(self) -> dict[str, bytes]:
        """``losses/round.attempt`` → the sum of encrypted losses, if any were sent."""
        total = self.sums.get(("losses", ALL_SITES))
        return {f"losses/{self.name}": total.result()} if total and total.members else {}

    def asks_for_ranges(self, reply: Message) -> str:
        """Take up a site's wish for wider ranges; why it has it, or '' if it has none."""
        wish = reply.content.config_records.get("ranges")
        if wish is None:
            return ""
        for name, multiplier in read_multipliers(str(wish.get("multipliers"))).items():
            if name not in self.agreement.shapes:
                raise FederationError(f"wider ranges are asked for '{name[:64]}', no tensor here")
            self.ranges[name] = max(multiplier, self.ranges.get(name, 1))
        return str(wish.get("why"))[:SITE_TEXT_CHARACTERS]

    def record(self, reply: Message, declared: int | None) -> SiteRecord:
        """What an answer says of itself; ``declared``: the cases that it must have, if known."""
        recipe = self.agreement.recipe
        sizes, losses = recipe.protection.weights, recipe.protection.metrics
        try:
            stated = cast(dict[str, float], reply.content.metric_records["metrics"])
            answer = SiteRecord(
                examples=int(stated["num-examples"]) if sizes == "public" else None,
                epochs=int(stated["epochs"]),
                loss=float(stated["loss"]) if losses == "public" else None,
                seconds=float(stated["seconds"]),
                protect_seconds=float(stated["protect-seconds"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise FederationError(f"the answer lacks its parts ({error!r})") from None
        if not all(map(math.isfinite, (answer.loss or 0, answer.seconds, answer.protect_seconds))):
            raise FederationError(f"a loss of {answer.loss} cannot be right")
        if answer.epochs != recipe.local_epochs:
            raise FederationError(
                f"{answer.epochs} epochs; the recipe has local-epochs: {recipe.local_epochs}"
            )
        if declared is not None and answer.examples != declared:
            raise FederationError(
                f"{answer.examples} examples; {declared} were declared before the round"
            )
        return answer


def counts_of(reply: Message, classes: int) -> Counts:
    """The counts of a test that a site sent in clear."""
    try:
        vector = reply.content.array_records["counts"]["counts"].numpy()
        return Counts.from_vector(vector, classes)
    except (EOFError, KeyError, TypeError, ValueError) as error:
        raise FederationError(f"the test's answer cannot be used ({error})") from None
