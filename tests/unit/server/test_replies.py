"""The exchange of messages where Flower is slow. The grid is a stand-in for the SuperLink's end."""

import time
from collections.abc import Iterable
from typing import cast

import pytest
from flwr.app import ConfigRecord, Error, Message, RecordDict
from flwr.common.constant import ErrorCode
from flwr.serverapp import Grid

from ucadi_flwr.server.replies import SiteFailure, exchange


class SlowGrid:
    """The first pull takes longer than there is time; other answers came meanwhile, or ran out."""

    def __init__(self, seconds: float, answers: int) -> None:
        self.seconds, self.answers = seconds, answers
        self.sent: list[Message] = []
        self.pulls = 0

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        (message,) = messages
        message.metadata.__dict__["_message_id"] = f"m{len(self.sent)}"
        self.sent.append(message)
        return [message.metadata.message_id]

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        (wanted,) = message_ids
        self.pulls += 1
        if self.pulls == 1:
            time.sleep(self.seconds)
        message = self.sent[int(wanted[1:])]
        if int(wanted[1:]) < self.answers:
            return [Message(RecordDict(), reply_to=message)]
        return [Message(Error(ErrorCode.MESSAGE_UNAVAILABLE, "out of time"), reply_to=message)]


@pytest.mark.usefixtures("server_identity")
@pytest.mark.parametrize(("answers", "late"), [(3, 0), (2, 1)])
def test_answers_that_came_while_flower_waited_for_another_count(answers: int, late: int) -> None:
    grid = SlowGrid(0.2, answers)
    messages = [
        Message(RecordDict({"config": ConfigRecord()}), node, "query", ttl=60.0)
        for node in range(1, 4)
    ]
    replies = list(exchange(cast(Grid, grid), messages, {}, seconds=0.1))
    assert sum(not isinstance(reply, SiteFailure) for reply in replies) == answers
    failures = [reply for reply in replies if isinstance(reply, SiteFailure)]
    assert [f.reason for f in failures] == ["no answer within 0 s"] * late
