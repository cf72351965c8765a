"""What comes back from the sites in one exchange: answers, refusals and failures, by site."""

from collections.abc import Callable, Iterable, Iterator

from flwr.app import Message

from ucadi_flwr.errors import FederationError, UcadiError
from ucadi_flwr.files.limits import SITE_TEXT_CHARACTERS
from ucadi_flwr.results.journal import Journal
from ucadi_flwr.results.rounds import RoundRecord
from ucadi_flwr.server.cohort import Cohort, Failure


class Replies:
    """Hands over answers that fit; who is left out is written down, with the reason.

    ``failed`` are the sites that failed by themselves in this round: to wait for them is no use.
    """

    def __init__(self, cohort: Cohort, journal: Journal, forget: Callable[[str], None]) -> None:
        self._cohort, self._journal, self._forget = cohort, journal, forget
        self._record = RoundRecord(round=0)
        self.failed = set[str]()
        self._given = self._refused = 0

    def begin(self, record: RoundRecord) -> None:
        """Write into the record of a new round."""
        self._record, self.failed = record, set()

    def each(
        self, replies: Iterable[Message | Failure], take: Callable[[str, Message], None]
    ) -> None:
        """Call ``take(site, reply)`` with every answer; one that it refuses is left out."""
        self._given = self._refused = 0
        for reply in self._arrived(replies):
            site = self._cohort.sender(reply)
            try:
                refusal = reply.content.config_records.get("refused")
                if refusal is not None:
                    self._refused += 1
                    raise FederationError(str(refusal.get("why"))[:SITE_TEXT_CHARACTERS])
                self._given += 1
                take(site, reply)
            except UcadiError as error:
                self.left_out(site, str(error), passing=False)

    @property
    def none_could_open(self) -> bool:
        """Whether sites refused what they were sent and no other site answered."""
        return self._refused > 0 and not self._given

    def left_out(self, site: str, reason: str, passing: bool) -> None:
        """Write down a site that is left out; a ``passing`` failure may not come again."""
        if not passing:
            self.failed.add(site)
        self._forget(site)
        self._record.fail(site, reason)
        self._journal.failure(self._record.round, site, reason)

    def _arrived(self, replies: Iterable[Message | Failure]) -> Iterator[Message]:
        for reply in replies:
            if isinstance(reply, Failure):
                self.left_out(*reply)
            else:
                yield reply
