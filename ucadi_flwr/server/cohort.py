"""The sites that take part: which node is which site, who is present, who has answered."""

import re
import time
from collections.abc import Container, Iterable, Iterator
from typing import NamedTuple, cast

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid

from ucadi_flwr.errors import FederationError, UcadiError
from ucadi_flwr.files.limits import EXAMPLES, REASON_CHARACTERS
from ucadi_flwr.recipes.base import check_site_name
from ucadi_flwr.results.journal import Journal
from ucadi_flwr.server import superlink

POLL_SECONDS = 0.2
"""Between two looks for answers; later, a twentieth of the time waited, up to ten times this: every
look is work for the SuperLink's database while the sites write their answers into it."""

REGISTRATION_SECONDS = 300.0
"""How long a node may take to say which site it is, or its weight; its process imports PyTorch."""

OWN_ERRORS = UcadiError.__module__

_RAISED = re.compile(r"<class '(?P<kind>[\w.]+)'>:<'(?P<text>.*?)(?:'>)?$")
"""How Flower's ClientApp tells of an exception."""


class Failure(NamedTuple):
    """A site that did not answer, why, and whether it may if it is asked again."""

    site: str
    reason: str
    passing: bool


class Cohort:
    """Node id → site, learnt by asking every node once; with its number of cases if ``sizes``.

    ``test_only`` are sites that never train and are tested only.
    """

    def __init__(self, journal: Journal, sizes: bool) -> None:
        self.journal, self._sizes = journal, sizes
        self.sites: dict[int, str] = {}
        self.examples: dict[str, int] = {}
        self.test_only: set[str] = set()
        self._refused: set[int] = set()
        self._sent: dict[str, str] = {}

    def wait_for_sites(
        self, grid: Grid, config: ConfigRecord, wanted: int, quorum: int, seconds: float
    ) -> None:
        """Wait until ``wanted`` sites are present, at most ``seconds``, and go on with a quorum.

        After everything died, Flower counts nodes as present that are not back yet: who does not
        answer is asked again. Raises :class:`FederationError` if fewer than ``quorum`` came.
        """
        deadline = time.monotonic() + seconds
        while True:
            late = time.monotonic() >= deadline
            if late or len(superlink.node_ids(grid)) >= wanted:
                lost = self.register_new_nodes(grid, config)
                if not lost or late or time.monotonic() >= deadline:
                    break
            time.sleep(POLL_SECONDS)
        present = [site for _, site in self.present(grid)]
        if len(present) < quorum:
            raise FederationError(
                f"{len(present)} sites are present ({', '.join(present) or 'none'}) after "
                f"{seconds:.0f} s and min-sites is {quorum}"
            )
        self.journal.gathered(present)

    def wait_for_quorum(
        self, grid: Grid, config: ConfigRecord, quorum: int, seconds: float, without: Container[str]
    ) -> bool:
        """Wait until a quorum is present, not counting some sites; whether it came in time.

        It is not waited for if the other sites that were ever here are too few.
        """
        known = set(self.sites.values()) - self.test_only
        if sum(site not in without for site in known) < quorum:
            return False
        deadline, greeted = time.monotonic() + seconds, set[int]()
        while True:
            if (nodes := superlink.node_ids(grid)) != greeted:
                self.register_new_nodes(grid, config)
                greeted = nodes
            present = [site for _, site in self.present(grid) if site not in without]
            if len(present) >= quorum or time.monotonic() >= deadline:
                return len(present) >= quorum
            time.sleep(POLL_SECONDS)

    def register_new_nodes(self, grid: Grid, config: ConfigRecord) -> bool:
        """Ask nodes that are new which site they are; two nodes cannot be the same site.

        Whether any failed that may answer if it is asked again.
        """
        lost = False
        new = superlink.node_ids(grid) - set(self.sites) - self._refused
        content = RecordDict({"config": config})
        messages = [
            Message(content, node, "query", ttl=REGISTRATION_SECONDS, group_id="0")
            for node in sorted(new)
        ]
        for reply in self.exchange(grid, messages, REGISTRATION_SECONDS):
            if isinstance(reply, Failure):
                self.journal.failure(0, reply.site, reply.reason)
                lost |= reply.passing
                continue
            node = reply.metadata.src_node_id
            try:
                site, examples, trains = self._introduced(reply)
            except UcadiError as error:
                self._refused.add(node)
                self.journal.failure(0, f"node {node}", f"{error}; refused")
                continue
            self.sites[node] = site
            if trains:
                self.examples[site] = examples
            else:
                self.test_only.add(site)
        return lost

    def _introduced(self, reply: Message) -> tuple[str, int, bool]:
        """The site's name, checked because files will be called by it; its cases; if it trains."""
        answer = reply.content.config_records.get("config") or ConfigRecord()
        site, examples = check_site_name(str(answer.get("site", ""))), answer.get("examples", 0)
        if site in self.sites.values():
            raise FederationError(f"a second node says that it is site {site}")
        trains = answer.get("trains") is True
        if self._sizes and trains and not (type(examples) is int and 0 < examples < EXAMPLES):
            raise FederationError(f"site {site} says that it has {examples!r} cases")
        return site, cast(int, examples) if self._sizes else 0, trains

    def present(self, grid: Grid, *, all_sites: bool = False) -> list[tuple[int, str]]:
        """Node and site of those who train, or of all, that are there now; by the sites' names."""
        online = superlink.node_ids(grid)
        left = set() if all_sites else self.test_only
        known = [(n, site) for n, site in self.sites.items() if n in online and site not in left]
        return sorted(known, key=lambda pair: pair[1])

    def sender(self, reply: Message) -> str:
        """The site that an answer comes from."""
        return self._sent[reply.metadata.reply_to_message_id]

    def exchange_with_retry(
        self, grid: Grid, messages: Iterable[Message], seconds: float
    ) -> Iterator[Message | Failure]:
        """As :meth:`exchange`, but who fails by something that may pass is asked once more."""
        sent = {message.metadata.dst_node_id: message for message in messages}
        missed: dict[str, Failure] = {}
        for reply in self.exchange(grid, sent.values(), seconds):
            if isinstance(reply, Failure) and reply.passing:
                missed[reply.site] = reply
            else:
                yield reply
        again = []
        for node, site in self.present(grid, all_sites=True):
            if failure := missed.pop(site, None):
                self.journal.log(f"{site} is asked again: {failure.reason}")
                first = sent[node].metadata
                kind, group = first.message_type, first.group_id
                content = sent[node].content
                again.append(Message(content, node, kind, ttl=first.ttl, group_id=group))
        yield from missed.values()
        yield from self.exchange(grid, again, seconds)

    def exchange(
        self, grid: Grid, messages: Iterable[Message], seconds: float
    ) -> Iterator[Message | Failure]:
        """Send, then yield answers as they arrive; errors and late sites come as failures.

        Flower waits for minutes for an answer whose upload broke off: after the deadline is looked
        once more at what has come meanwhile.
        """
        self._sent = {}
        for message in messages:
            node = message.metadata.dst_node_id
            site = self.sites.get(node, f"node {node}")
            if message_id := superlink.push(grid, message):
                self._sent[message_id] = site
            else:
                yield Failure(site, "the message could not be sent", passing=True)
        waiting = set(self._sent)
        begin, last = time.monotonic(), False
        while waiting and not last:
            last = (waited := time.monotonic() - begin) >= seconds
            for message_id in sorted(waiting, key=self._sent.__getitem__):
                if (reply := superlink.pull(grid, message_id)) is None:
                    continue
                own = (
                    reply.has_error() and reply.error.code == ErrorCode.CLIENT_APP_RAISED_EXCEPTION
                )
                late = time.monotonic() - begin >= seconds
                if late and reply.has_error() and not own:
                    continue  # Flower's word for a message that is out of time
                waiting.discard(message_id)
                if reply.has_error():
                    yield Failure(self.sender(reply), _reason(reply), passing=not own)
                else:
                    yield reply
            if waiting and not last:
                time.sleep(min(max(POLL_SECONDS, waited / 20), 10 * POLL_SECONDS))
        for message_id in sorted(waiting, key=self._sent.__getitem__):
            yield Failure(self._sent[message_id], f"no answer within {seconds:.0f} s", passing=True)


def _reason(reply: Message) -> str:
    """What the site's own exception says, out of Flower's words around it, in one short line."""
    reason = " ".join(_cause(reply).split())
    return reason if len(reason) <= REASON_CHARACTERS else reason[:REASON_CHARACTERS] + "…"


def _cause(reply: Message) -> str:
    lines = (reply.error.reason or "").strip().splitlines()
    if not lines:
        return f"error code {reply.error.code}"
    found = _RAISED.search(lines[-1])
    if found is None:
        return lines[-1].removesuffix("'>")
    kind = found["kind"].rpartition(".")
    return found["text"] if kind[0] == OWN_ERRORS else f"{kind[2]}: {found['text']}"
