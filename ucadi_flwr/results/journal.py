"""The journal of a run, ``journal.jsonl``: one JSON object a line, appended as things happen.

Every event has ``event`` (its kind) and ``time`` (seconds since 1970). This module holds the whole
format: who writes it and who reads it.
"""

import json
import time
from collections.abc import Collection, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ucadi_flwr.results.rounds import RoundRecord, SiteRecord

Event = dict[str, Any]


class Journal:
    """Appends events to a file that others read while the run goes on."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path

    def log(self, text: str) -> None:
        """A line of text for people."""
        self._write("log", text=text)

    def resumed(self, server_round: int) -> None:
        """Another process continues after this round."""
        self._write("resumed", round=server_round)

    def gathered(self, sites: list[str]) -> None:
        """The sites that are present before round 1."""
        self._write("gathered", sites=sites)

    def answer(self, server_round: int, site: str, answer: SiteRecord) -> None:
        """A site's update was added."""
        self._write("answer", round=server_round, site=site, **asdict(answer))

    def failure(self, server_round: int, site: str, reason: str) -> None:
        """A site was left out."""
        self._write("failure", round=server_round, site=site, reason=reason)

    def round_done(self, record: RoundRecord, rounds: int) -> None:
        """A round counts."""
        self._write("round", round=record.round, rounds=rounds, loss=record.loss)

    def tested(self, trained_at: str, sites: Collection[str]) -> None:
        """A model was tested at these sites."""
        self._write("tested", trained_at=trained_at, sites=sorted(sites))

    def stopped(self, reason: str) -> None:
        """The run ended early."""
        self._write("stopped", reason=reason)

    def _write(self, event: str, **values: Any) -> None:
        line = json.dumps({"event": event, "time": time.time(), **values})
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


class JournalReader:
    """Reads the events that are appended after it was made; ``stopped`` is the reason, if any."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read = path.stat().st_size if path.is_file() else 0
        self.stopped = ""

    def new_events(self) -> Iterator[Event]:
        """The events since the last call; a line that is still being written comes next time."""
        if not self._path.is_file():
            return
        with self._path.open("rb") as file:
            file.seek(self._read)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._read += len(line)
                event: Event = json.loads(line)
                if event["event"] == "stopped":
                    self.stopped = event["reason"]
                yield event


def read_journal(path: Path) -> Iterator[Event]:
    """All events so far; none if there is no journal."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    except OSError:
        return
    for line in lines:
        if line.endswith("\n"):
            yield json.loads(line)
