"""``round.attempt``, the name of one exchange in messages and files."""

from ucadi_flwr.errors import FederationError


def name_of(server_round: int, attempt: int) -> str:
    """(7, 0) → ``7.0``: round 7, first attempt."""
    return f"{server_round}.{attempt}"


def parse_name(name: str) -> tuple[int, int]:
    """The inverse of :func:`name_of`; raise :class:`FederationError` if it is no name."""
    server_round, _, attempt = name.partition(".")
    if not (server_round.isascii() and server_round.isdigit() and len(server_round) < 10):
        raise FederationError(f"'{name[:32]}' does not name a round and an attempt")
    if not (attempt.isascii() and attempt.isdigit() and len(attempt) < 6):
        raise FederationError(f"'{name[:32]}' does not name a round and an attempt")
    return int(server_round), int(attempt)
