"""What all tests share: real images (UCADI_REAL_DATA), and which tests run in one process."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

settings.register_profile("patient", deadline=None)  # machines are shared; time is no property
settings.load_profile("patient")


ENGINE = "tests/integration/test_simulation"
"""The files of these tests share one expensive experiment."""


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:  # with ``-n 2 --dist loadgroup`` a file's tests stay in one process
        file = item.nodeid.partition("::")[0]
        group = ENGINE if file.startswith(ENGINE) else file
        item.add_marker(pytest.mark.xdist_group(group))
    if folder():
        return
    reason = "set UCADI_REAL_DATA to the folder of real images (xray_multisite, ct_…) to run this"
    for item in items:
        if item.get_closest_marker("real_data"):
            item.add_marker(pytest.mark.skip(reason=reason))


def pytest_sessionstart(session: pytest.Session) -> None:
    if os.environ.get("UCADI_REQUIRE_REAL_DATA") and folder() is None:
        raise pytest.UsageError("UCADI_REQUIRE_REAL_DATA is set and UCADI_REAL_DATA is no folder")


def folder() -> Path | None:
    """The folder of real images, if there is one."""
    path = Path(os.environ.get("UCADI_REAL_DATA", ""))
    return path if os.environ.get("UCADI_REAL_DATA") and path.is_dir() else None


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images."""
    path = folder()
    assert path is not None, "mark the test with real_data"
    return path
