"""The reason for a site's failure, taken from Flower's text."""

import pytest
from flwr.app import Error, Message, RecordDict

from ucadi_flwr.limits import REASON_CHARACTERS
from ucadi_flwr.server.replies import _reason


@pytest.mark.usefixtures("server_identity")
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "ClientApp raised an exception\n<class 'ucadi_flwr.errors.FederationError'>:<'recipe "
            "tiny differs from the server's (it's old)'>",
            "recipe tiny differs from the server's (it's old)",
        ),
        ("<class 'ValueError'>:<'no'>", "ValueError: no"),
        ("<class 'torch.OutOfMemoryError'>:<'full", "OutOfMemoryError: full"),
        ("the node is gone", "the node is gone"),
        ("", "error code 2"),
        ("<class 'ray.exceptions.OutOfMemoryError'>:<'" + "a " * 1000 + "'>", None),
    ],
)
def test_the_reason_is_the_last_line_of_the_exception(text: str, expected: str | None) -> None:
    message = Message(RecordDict(), dst_node_id=1, message_type="train")
    reply = Message(Error(2, text), reply_to=message)
    long = "OutOfMemoryError: " + "a " * 141 + "…"
    assert _reason(reply) == (expected or long)
    assert len(_reason(reply)) <= REASON_CHARACTERS + 1
