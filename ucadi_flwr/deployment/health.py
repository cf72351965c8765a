"""Ask a SuperLink over TLS whether it is there, and what time it has."""

import ssl
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from pathlib import Path


@dataclass(frozen=True)
class Answer:
    """HTTP status, and how far our clock is ahead of theirs in seconds (None: it did not say)."""

    status: int
    ahead: float | None


def ask(address: str, authority: Path, seconds: float = 10.0, *, direct: bool = False) -> Answer:
    """``GET https://ADDRESS/health``; any answer will do. Raises OSError where there is none.

    ``direct`` goes around the proxy that the environment may name.
    """
    context = ssl.create_default_context(cafile=str(authority))
    handlers: list[urllib.request.BaseHandler] = [urllib.request.HTTPSHandler(context=context)]
    if direct:
        handlers.append(urllib.request.ProxyHandler({}))
    opener = urllib.request.build_opener(*handlers)
    before = time.time()
    try:
        with opener.open(f"https://{address}/health", timeout=seconds) as response:
            status, date = response.status, response.headers.get("Date")
    except urllib.error.HTTPError as error:
        with error:
            status, date = error.code, error.headers.get("Date")
    return Answer(status, ahead(date, before, time.time()))


def ahead(date: str | None, before: float, after: float) -> float | None:
    """Our clock less theirs, from the ``Date`` of an answer that was on its way in between.

    ``Date`` has whole seconds, cut off; so that this is right within half a second and half the
    time that the answer took.
    """
    try:
        theirs = parsedate_to_datetime(date or "").timestamp()
    except ValueError:
        return None
    return (before + after) / 2 - (theirs + 0.5)
