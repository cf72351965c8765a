"""Calls to the SuperLink, which answers 500 where its SQLite is locked: Flower's Grid raises then.

It happens when many sites write at once, or its machine is busy. A run does not end by it.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
from flwr.app import Message
from flwr.serverapp import Grid

PATIENCE = 60.0
"""Seconds after which a SuperLink that answers 500 all the time counts as broken."""

PAUSE = 1.0
"""Seconds between two tries."""


@contextmanager
def _outlived() -> Iterator[None]:
    """Go on after an answer of 500 and above."""
    try:
        yield
    except httpx.HTTPStatusError as error:
        if not error.response.is_server_error:
            raise


def node_ids(grid: Grid) -> set[int]:
    """The nodes that are there now; asked again for a minute if need be."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with _outlived():
            return set(grid.get_node_ids())
        time.sleep(PAUSE)
    return set(grid.get_node_ids())


def push(grid: Grid, message: Message) -> str | None:
    """Send it; its id, or None if it was not taken."""
    with _outlived():
        return next(iter(grid.push_messages([message])), None)
    return None


def pull(grid: Grid, message_id: str) -> Message | None:
    """The answer to a message, if there is one. One that breaks off on its way is lost for good.

    Each by itself: Flower forgets all answers of a call that breaks off, and one at a time is in
    memory.
    """
    with _outlived():
        return next(iter(grid.pull_messages([message_id])), None)
    return None
