"""Messages to sites and their replies, one exchange at a time."""

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from flwr.app import Message
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid

from ucadi_flwr.errors import UcadiError
from ucadi_flwr.limits import REASON_CHARACTERS
from ucadi_flwr.server import superlink

POLL_SECONDS = 0.2
"""Between two looks for replies; later, a twentieth of the time waited, up to ten times this: every
look is work for the SuperLink's database while the sites write their replies into it."""

_OWN_ERRORS = UcadiError.__module__

_RAISED = re.compile(r"<class '(?P<kind>[\w.]+)'>:<'(?P<text>.*?)(?:'>)?$")
"""How Flower's ClientApp reports an exception."""


class SiteFailure(NamedTuple):
    """A site that did not answer, why, and whether it may if it is asked again."""

    site: str
    reason: str
    passing: bool


Reply = Message | SiteFailure
"""A site's reply, whose ``metadata.src_node_id`` is the node that was asked, or its failure."""


def exchange(
    grid: Grid, messages: Iterable[Message], sites: Mapping[int, str], seconds: float
) -> Iterator[Reply]:
    """Send messages, then yield replies as they arrive; errors and late sites come as failures.

    Flower waits for minutes for a reply whose upload broke off, so that replies are looked for
    once more after the deadline.

    Args:
        grid: Flower's.
        messages: one a node; a generator is sent as it is made.
        sites: node id → site, to name failures by.
        seconds: until the deadline, from when the last message was sent.
    """
    sent: dict[str, tuple[int, str]] = {}
    for message in messages:
        node = message.metadata.dst_node_id
        site = sites.get(node, f"node {node}")
        if message_id := superlink.push(grid, message):
            sent[message_id] = (node, site)
        else:
            yield SiteFailure(site, "the message could not be sent", passing=True)
    begin, last, waiting = time.monotonic(), False, set(sent)
    while waiting and not last:
        last = (waited := time.monotonic() - begin) >= seconds
        for message_id in sorted(waiting, key=lambda key: sent[key][1]):
            if (reply := superlink.pull(grid, message_id)) is None:
                continue
            late = time.monotonic() - begin >= seconds
            if late and reply.has_error() and not _is_own(reply):
                continue  # Flower's error for a message that is out of time
            waiting.discard(message_id)
            yield _checked(reply, *sent[message_id])
        if waiting and not last:
            time.sleep(min(max(POLL_SECONDS, waited / 20), 10 * POLL_SECONDS))
    for message_id in sorted(waiting, key=lambda key: sent[key][1]):
        yield SiteFailure(sent[message_id][1], f"no answer within {seconds:.0f} s", passing=True)


def failure_of(reply: Message, site: str) -> SiteFailure:
    """The failure that an error reply means; an exception of the site's own does not pass."""
    return SiteFailure(site, _reason(reply), passing=not _is_own(reply))


def _is_own(reply: Message) -> bool:
    return reply.has_error() and reply.error.code == ErrorCode.CLIENT_APP_RAISED_EXCEPTION


def _checked(reply: Message, node: int, site: str) -> Reply:
    """The reply, if it is one and comes from the node that was asked."""
    if reply.has_error():
        return failure_of(reply, site)
    if reply.metadata.src_node_id != node:
        return SiteFailure(site, "another node answered in its place", passing=False)
    return reply


def _reason(reply: Message) -> str:
    """The text of the site's own exception, without Flower's around it, in one short line."""
    reason = " ".join(_cause(reply).split())
    return reason if len(reason) <= REASON_CHARACTERS else reason[:REASON_CHARACTERS] + "…"


def _cause(reply: Message) -> str:
    lines = (reply.error.reason or "").strip().splitlines()
    if not lines:
        return f"error code {reply.error.code}"
    raised = _RAISED.search(lines[-1])
    if raised is None:
        return lines[-1].removesuffix("'>")
    module, _, kind = raised["kind"].rpartition(".")
    return raised["text"] if module == _OWN_ERRORS else f"{kind}: {raised['text']}"
