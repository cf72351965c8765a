"""Ask a SuperLink over TLS whether it runs, and compare its machine's clock with ours."""

import ssl
import time
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path

import httpx

_NO_REPLY = (httpx.HTTPError, httpx.InvalidURL, ImportError, ValueError)
"""What httpx raises without a reply; the last three, for a proxy setting that it cannot use."""


@dataclass(frozen=True)
class HealthReply:
    """HTTP status, and the seconds that our clock is ahead of the server's (None: no date sent)."""

    status: int
    clock_ahead: float | None


def ask(
    address: str, authority: Path, seconds: float = 10.0, *, direct: bool = False
) -> HealthReply:
    """``GET https://ADDRESS/health``; a reply with any status counts.

    Args:
        address: ``HOST:PORT`` of the SuperLink, or of a proxy in front of it.
        authority: the certificate of the authority that the server's certificate must be from.
        seconds: how long to wait for the connection, and then for the reply.
        direct: ignore the proxy that the environment names, as for a server on this machine.

    Raises :class:`OSError` if there is no reply: ``ssl.SSLCertVerificationError`` if the server's
    certificate is of another authority, ``ConnectionError`` if nothing accepts the connection.
    """
    before = time.time()
    try:
        reply = httpx.get(
            f"https://{address}/health",
            verify=ssl.create_default_context(cafile=str(authority)),
            timeout=seconds,
            trust_env=not direct,
            follow_redirects=True,
        )
    except _NO_REPLY as error:
        raise _os_error(error) from None
    return HealthReply(
        reply.status_code, clock_ahead(reply.headers.get("Date"), before, time.time())
    )


def clock_ahead(date: str | None, before: float, after: float) -> float | None:
    """Seconds that our clock is ahead of the server's, by the ``Date`` header of its reply.

    ``Date`` has whole seconds, rounded down, so the result is right within half a second and half
    the time that the reply took.

    Args:
        date: the header, if there was one.
        before: our time when we asked, in seconds since 1970.
        after: our time when the reply was here.

    >>> clock_ahead("Thu, 01 Jan 1970 00:16:40 GMT", before=1010.0, after=1011.0)
    10.0
    """
    try:
        server_time = parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        return None
    return (before + after) / 2 - (server_time + 0.5)


def _os_error(error: BaseException) -> OSError:
    """The error of the operating system or of TLS that made httpx raise ``error``."""
    cause: BaseException | None = error
    while cause is not None and not isinstance(cause, OSError):
        cause = cause.__cause__ or cause.__context__
    return cause or OSError(str(error))
