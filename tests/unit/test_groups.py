"""The tests of one file run in one process, so that they share what is expensive to make."""

import pytest


def test_a_group_is_in_the_names_of_its_tests(request: pytest.FixtureRequest) -> None:
    """pytest-xdist groups tests by a suffix of their names, if it reads our marks at all."""
    if request.config.getoption("loadgroup", default=False):
        assert request.node.nodeid.endswith("@tests/unit/test_groups.py")
