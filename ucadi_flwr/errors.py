"""Every error that a user can cause.

A message is one line that says what is wrong, where, and what to do. The command line prints it and
exits with 2 (:func:`reporting_errors`).
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager


class UcadiError(Exception):
    """An error that a user can correct; the message is one line: what, where, what to do."""


class RecipeError(UcadiError):
    """A task or strategy recipe that cannot be used."""


class DataError(UcadiError):
    """A data folder, manifest or image that cannot be used."""


class FederationError(UcadiError):
    """A federation that cannot continue: no quorum, a reply that does not fit, a changed recipe."""


class QuorumError(FederationError):
    """Too few sites answered; they may come back, and then the round can be repeated."""


class TrainingError(UcadiError):
    """Local training that cannot continue, such as a loss that is not finite."""


class ProtectionError(UcadiError):
    """A key, or a protected model, that cannot be used: wrong, altered, replayed or too few."""


@contextmanager
def reporting_errors() -> Iterator[None]:
    """Print a :class:`UcadiError` as one line on standard error and exit with status 2."""
    try:
        yield
    except UcadiError as error:
        line = " ".join(str(error).split())
        print(f"error: {line}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        raise SystemExit(130) from None
