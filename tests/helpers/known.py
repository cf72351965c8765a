"""A value that a test knows to be there."""

from typing import TypeVar

T = TypeVar("T")


def known(value: T | None) -> T:
    """The value; None fails the test."""
    assert value is not None
    return value
