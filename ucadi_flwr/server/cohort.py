"""The sites that take part: which node is which site, and who is present."""

import time
from collections.abc import Container, Iterable, Iterator
from typing import cast

from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from ucadi_flwr.errors import FederationError, UcadiError
from ucadi_flwr.exchange.terms import RunTerms
from ucadi_flwr.limits import EXAMPLES
from ucadi_flwr.recipes.base import check_site_name
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.results.journal import Journal
from ucadi_flwr.server import replies, superlink
from ucadi_flwr.server.replies import Reply, SiteFailure, exchange, failure_of

REGISTRATION_SECONDS = 300.0
"""How long a node may take to say which site it is, or its weight; its process imports PyTorch."""

Member = tuple[int, str]
"""A node's id and its site."""


class Cohort:
    """Node id → site, learnt by asking every node once; with its number of cases if ``sizes``.

    ``test_only`` are the sites that never train.
    """

    def __init__(self, journal: Journal, terms: RunTerms, sizes: bool) -> None:
        self.journal, self._terms, self._sizes = journal, terms, sizes
        self.sites: dict[int, str] = {}
        self.examples: dict[str, int] = {}
        self.test_only: set[str] = set()
        self._refused: set[int] = set()

    def wait_for_sites(self, grid: Grid, wanted: int, quorum: int, seconds: float) -> None:
        """Wait until ``wanted`` sites are present, at most ``seconds``; continue with a quorum.

        After everything stopped, Flower counts nodes as present that are not back yet: a node that
        does not answer is asked again. Raises :class:`FederationError` if fewer than ``quorum``
        came.
        """
        deadline = time.monotonic() + seconds
        while True:
            late = time.monotonic() >= deadline
            if late or len(superlink.node_ids(grid)) >= wanted:
                lost = self.register_new_nodes(grid)
                if not lost or late or time.monotonic() >= deadline:
                    break
            time.sleep(replies.POLL_SECONDS)
        present = [site for _, site in self.present(grid)]
        if len(present) < quorum:
            raise FederationError(
                f"{len(present)} sites are present ({', '.join(present) or 'none'}) after "
                f"{seconds:.0f} s and min-sites is {quorum}"
            )
        self.journal.gathered(present)

    def wait_for_quorum(
        self, grid: Grid, quorum: int, seconds: float, without: Container[str]
    ) -> bool:
        """Wait until a quorum is present, not counting some sites; whether it came in time.

        Does not wait if the other sites that were ever present are too few.
        """
        known = set(self.sites.values()) - self.test_only
        if sum(site not in without for site in known) < quorum:
            return False
        deadline, registered = time.monotonic() + seconds, set[int]()
        while True:
            if (nodes := superlink.node_ids(grid)) != registered:
                self.register_new_nodes(grid)
                registered = nodes
            present = [site for _, site in self.present(grid) if site not in without]
            if len(present) >= quorum or time.monotonic() >= deadline:
                return len(present) >= quorum
            time.sleep(replies.POLL_SECONDS)

    def register_new_nodes(self, grid: Grid) -> bool:
        """Ask new nodes which site they are; two nodes cannot be the same site.

        Whether any failed that may answer if it is asked again.
        """
        lost = False
        new = superlink.node_ids(grid) - set(self.sites) - self._refused
        content = RecordDict({"config": ConfigRecord(self._terms.config())})
        messages = [
            Message(content, node, "query", ttl=REGISTRATION_SECONDS, group_id="0")
            for node in sorted(new)
        ]
        for reply in exchange(grid, messages, self.sites, REGISTRATION_SECONDS):
            if isinstance(reply, SiteFailure):
                self.journal.failure(0, reply.site, reply.reason)
                lost |= reply.passing
                continue
            node = reply.metadata.src_node_id
            try:
                site, examples, trains = self._identify(reply)
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

    def _identify(self, reply: Message) -> tuple[str, int, bool]:
        """The site's name, checked because files are named after it; its cases; if it trains."""
        answer = reply.content.config_records.get("config") or ConfigRecord()
        site, examples = check_site_name(str(answer.get("site", ""))), answer.get("examples", 0)
        if site in self.sites.values():
            raise FederationError(f"a second node says that it is site {site}")
        trains = answer.get("trains") is True
        if self._sizes and trains and not (type(examples) is int and 0 < examples < EXAMPLES):
            raise FederationError(f"site {site} says that it has {examples!r} cases")
        return site, cast(int, examples) if self._sizes else 0, trains

    def present(self, grid: Grid, *, all_sites: bool = False) -> list[Member]:
        """Node and site of those who train, or of all, that are there now; by the sites' names."""
        online = superlink.node_ids(grid)
        left = set() if all_sites else self.test_only
        members = [(n, site) for n, site in self.sites.items() if n in online and site not in left]
        return sorted(members, key=lambda member: member[1])

    def weight(self, site: str, recipe: StrategyRecipe) -> int:
        """The weight that a site declared, n_k × E_k (S0); 0 where that is not known."""
        return 1 if recipe.weights == "equal" else self.examples[site] * recipe.local_epochs

    def site_of(self, reply: Message) -> str:
        """The site that a reply comes from."""
        return self.sites[reply.metadata.src_node_id]

    def without_errors(self, reply: Reply) -> Reply:
        """The reply, or the failure that an error of Flower's means; its own loop passes both."""
        if isinstance(reply, SiteFailure) or not reply.has_error():
            return reply
        node = reply.metadata.src_node_id
        return failure_of(reply, self.sites.get(node, f"node {node}"))

    def exchange(self, grid: Grid, messages: Iterable[Message], seconds: float) -> Iterator[Reply]:
        """Send to sites and yield their replies as they arrive (:func:`replies.exchange`)."""
        return exchange(grid, messages, self.sites, seconds)

    def exchange_with_retry(
        self, grid: Grid, messages: Iterable[Message], seconds: float
    ) -> Iterator[Reply]:
        """As :meth:`exchange`, but a site whose failure may pass is asked once more."""
        sent = {message.metadata.dst_node_id: message for message in messages}
        missed: dict[str, SiteFailure] = {}
        for reply in self.exchange(grid, sent.values(), seconds):
            if isinstance(reply, SiteFailure) and reply.passing:
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
