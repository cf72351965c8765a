"""A SuperNode's log → what matters to a site, in its words; nothing else of the log is repeated."""

import re
from collections.abc import Iterator
from pathlib import Path

LONGEST_LINE = 4096

_ONLINE = re.compile(r"SuperNode ID: (\d{1,20})")
_RUN = re.compile(r"\[RUN (\d{1,20})(?:, ROUND (\d{1,6}))?\]")
_MESSAGE = re.compile(r"(Receiving|Sending): ([a-z_.]{1,32}) message")
_LOST = re.compile("Connection attempt failed")
_FOUND = re.compile("Connection successful after")
_EXIT = re.compile(r"Exit Code: (\d{1,4})")

EXITS = {
    302: "the node's key cannot be used; take the folder from the last hand-over again",
    303: "the server asks for TLS",
    305: "the server does not take this node: it is not registered, or not counted as gone yet "
    "after a crash (a minute)",
}
"""Flower's exit codes for SuperNodes, and what they mean here."""


class NodeLog:
    """Follows a log from where it ends now."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = path.stat().st_size if path.exists() else 0
        self._run = ""
        self._lost = False
        self.online = False
        self.why = ""

    def started(self) -> None:
        """A new process writes; if the log was put aside, from its beginning."""
        if not self._path.exists() or self._path.stat().st_size < self._read:
            self._read = 0
        self.online, self._lost, self.why = False, False, ""

    def events(self) -> Iterator[str]:
        """One line for each thing that happened since the last call."""
        if not self._path.exists():
            return
        with self._path.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n") and len(line) < LONGEST_LINE:
                    break
                self._read += len(line)
                if said := self._event(line[:LONGEST_LINE].decode("utf-8", "replace")):
                    yield said

    def _event(self, line: str) -> str:
        if found := _ONLINE.search(line):
            self.online = True
            return f"online as node {found[1]}"
        if found := _RUN.search(line):
            self._run = f"run {found[1]}" + (f" round {found[2]}" if found[2] else "")
        elif found := _MESSAGE.search(line):
            verb = "asked to" if found[1] == "Receiving" else "answered"
            return f"{self._run}: {verb} {found[2]}"
        elif _LOST.search(line) and not self._lost:
            self._lost = True
            return "the server does not answer; the node goes on trying"
        elif _FOUND.search(line) and self._lost:
            self._lost = False
            return "the server answers again"
        elif found := _EXIT.search(line):
            self.why = EXITS.get(int(found[1]), f"Flower's exit code {found[1]}")
        return ""
