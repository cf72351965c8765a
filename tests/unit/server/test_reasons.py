"""What a failed site is said to have said, out of Flower's words."""

from types import SimpleNamespace

import pytest

from ucadi_flwr.limits import REASON_CHARACTERS
from ucadi_flwr.server.replies import _reason


@pytest.mark.parametrize(
    ("told", "expected"),
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
def test_the_last_line_is_told_as_the_site_said_it(told: str, expected: str | None) -> None:
    reply = SimpleNamespace(error=SimpleNamespace(code=2, reason=told))
    long = "OutOfMemoryError: " + "a " * 141 + "…"
    assert _reason(reply) == (expected or long)
    assert len(_reason(reply)) <= REASON_CHARACTERS + 1
