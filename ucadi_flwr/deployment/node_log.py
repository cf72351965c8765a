"""A SuperNode's log → the few events that matter to a site; the rest of the log is not repeated."""

import re
from collections.abc import Iterator
from pathlib import Path

LONGEST_LINE = 4096
"""Bytes of a line that are looked at."""

_ONLINE = re.compile(r"SuperNode ID: (\d{1,20})")
_RUN = re.compile(r"\[RUN (\d{1,20})(?:, ROUND (\d{1,6}))?\]")
_MESSAGE = re.compile(r"(Receiving|Sending): ([a-z_.]{1,32}) message")
_CONNECTION_LOST = re.compile("Connection attempt failed")
_CONNECTION_BACK = re.compile("Connection successful after")
_EXIT = re.compile(r"Exit Code: (\d{1,4})")

EXIT_REASONS = {
    302: "the node's key cannot be used; copy the site's folder from the last hand-over again",
    303: "the server requires TLS",
    305: "the server refuses this node: it is not registered, or it crashed and the server still "
    "counts it as online (about a minute)",
}
"""Flower's exit codes for SuperNodes, and what they mean here."""


class NodeLog:
    """Follows a log from where it ends now.

    ``online``: the process that writes it has reached the server. ``exit_reason``: why that process
    ended, if it wrote an exit code.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = path.stat().st_size if path.exists() else 0
        self._run = ""
        self._disconnected = False
        self.online = False
        self.exit_reason = ""

    def process_started(self) -> None:
        """Expect the lines of a new process; in a new file if the old one was renamed."""
        if not self._path.exists() or self._path.stat().st_size < self._read:
            self._read = 0
        self.online, self._disconnected, self.exit_reason = False, False, ""

    def events(self) -> Iterator[str]:
        """One line of text for each event since the last call."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n") and len(line) < LONGEST_LINE:
                    break
                self._read += len(line)
                if event := self._event(line[:LONGEST_LINE].decode("utf-8", "replace")):
                    yield event

    def _event(self, line: str) -> str:
        if match := _ONLINE.search(line):
            self.online = True
            return f"online as node {match[1]}"
        if match := _RUN.search(line):
            self._run = f"run {match[1]}" + (f" round {match[2]}" if match[2] else "")
        elif match := _MESSAGE.search(line):
            verb = "asked to" if match[1] == "Receiving" else "answered"
            return f"{self._run}: {verb} {match[2]}"
        elif _CONNECTION_LOST.search(line) and not self._disconnected:
            self._disconnected = True
            return "the server does not answer; the node keeps trying"
        elif _CONNECTION_BACK.search(line) and self._disconnected:
            self._disconnected = False
            return "the server answers again"
        elif match := _EXIT.search(line):
            self.exit_reason = EXIT_REASONS.get(int(match[1]), f"Flower's exit code {match[1]}")
        return ""
