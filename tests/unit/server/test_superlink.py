"""A SuperLink that answers 500 for a while. The grid is a stand-in that raises as Flower's does."""

from collections.abc import Callable, Iterable
from typing import cast

import httpx
import pytest
from flwr.app import ConfigRecord, Message, RecordDict
from flwr.serverapp import Grid

from ucadi_flwr.server import superlink


class SickGrid:
    """Every call raises this status so many times before it works."""

    def __init__(self, status: int, times: int) -> None:
        self.status, self.left = status, times
        self.sent: list[Message] = []

    def _answer(self) -> None:
        if self.left:
            self.left -= 1
            request = httpx.Request("POST", "https://127.0.0.1:8443/v1/runtime/get-nodes")
            httpx.Response(self.status, request=request).raise_for_status()

    def get_node_ids(self) -> Iterable[int]:
        self._answer()
        return [7, 8]

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str | None]:
        self._answer()
        self.sent += messages
        return ["m0"]

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        self._answer()
        return [Message(RecordDict(), reply_to=self.sent[0])] if self.sent else []


@pytest.fixture
def message(server_identity: None, monkeypatch: pytest.MonkeyPatch) -> Message:
    monkeypatch.setattr(superlink, "PAUSE", 0.001)
    return Message(RecordDict({"config": ConfigRecord()}), 7, "query", ttl=60.0)


def grid(status: int = 500, times: int = 3) -> Grid:
    return cast(Grid, SickGrid(status, times))


def test_nodes_are_asked_for_again(message: Message) -> None:
    assert superlink.node_ids(grid()) == {7, 8}


def test_a_superlink_that_stays_broken_is_an_error(
    message: Message, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(superlink, "PATIENCE", 0.01)
    with pytest.raises(httpx.HTTPStatusError, match="500"):
        superlink.node_ids(grid(times=10**6))


def test_what_is_not_taken_is_not_sent_and_what_breaks_off_is_no_answer(message: Message) -> None:
    sick = grid(times=1)
    assert superlink.push(sick, message) is None
    assert superlink.push(sick, message) == "m0"
    cast(SickGrid, sick).left = 1
    assert superlink.pull(sick, "m0") is None
    assert superlink.pull(sick, "m0") is not None
    assert superlink.pull(grid(times=0), "m0") is None  # nothing there yet


@pytest.mark.parametrize(
    "call", [superlink.node_ids, lambda g: superlink.pull(g, "m0")], ids=["nodes", "pull"]
)
def test_a_request_that_is_wrong_is_not_repeated(
    call: Callable[[Grid], object], message: Message
) -> None:
    with pytest.raises(httpx.HTTPStatusError, match="403"):
        call(grid(403, 1))


def test_a_message_that_may_not_be_sent_is_an_error(message: Message) -> None:
    with pytest.raises(httpx.HTTPStatusError, match="403"):
        superlink.push(grid(403, 1), message)
