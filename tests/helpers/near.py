"""``pytest.approx`` for a number inside a tuple, a list or an object."""

from typing import cast

import pytest


def near(value: float | None, rel: float | None = None, abs: float | None = None) -> float:  # noqa: A002
    """``pytest.approx(value)``, typed as the number that it is compared with."""
    assert value is not None
    return cast(float, pytest.approx(value, rel=rel, abs=abs))
