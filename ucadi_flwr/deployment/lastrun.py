"""The run that was submitted last, and what its journal says."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from ucadi_flwr.files.atomic import replacing
from ucadi_flwr.files.locks import in_use
from ucadi_flwr.results.journal import Event, read_journal
from ucadi_flwr.results.layout import RunFolder


@dataclass(frozen=True)
class LastRun:
    """What was submitted, where its results are, and Flower's number of it.

    ``stopped``: by whoever submitted it; the journal does not know.
    """

    task: str
    strategy: str
    out: str
    run: str
    stopped: bool = False

    @property
    def journal(self) -> Path:
        """Where the run writes how far it is."""
        return RunFolder(Path(self.out)).server.journal

    @property
    def finished(self) -> bool:
        """Whether its last file is written."""
        return RunFolder(Path(self.out)).server.finished


@dataclass(frozen=True)
class RunProgress:
    """How far a run is.

    ``state``: waiting, running, testing, stopped, finished, or interrupted: its process is gone.
    """

    state: str = "waiting"
    round: int = 0
    rounds: int = 0
    sites: tuple[str, ...] = ()
    last_error: str = ""


def save(path: Path, run: LastRun) -> None:
    """Write, atomically."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(asdict(run), indent=2) + "\n", encoding="utf-8")


def load(path: Path) -> LastRun | None:
    """None if there was none, or if the file is damaged; nothing depends on it."""
    try:
        return LastRun(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def course(run: LastRun) -> RunProgress:
    """As the journal has it now."""
    found = summary(read_journal(run.journal))
    if run.finished:
        return replace(found, state="finished")
    if run.stopped:
        return replace(found, state="stopped")
    if found.state in ("running", "testing") and not in_use(run.journal.parent):
        return replace(found, state="interrupted")
    return found


def summary(events: Iterable[Event]) -> RunProgress:
    """The journal's events → how far the run is; the round is the last that counts."""
    values: dict[str, Any] = {}
    for event in events:
        match event:
            case {"event": "gathered", "sites": sites}:
                values |= {"state": "running", "sites": tuple(sites)}
            case {"event": "round", "round": number, "rounds": rounds}:
                values |= {"round": number, "rounds": rounds}
                values["state"] = "testing" if number == rounds else "running"
            case {"event": "failure", "site": site, "round": number, "reason": reason}:
                values["last_error"] = f"round {number} · {site}: {reason}"
            case {"event": "resumed"}:
                values |= {"state": "waiting", "last_error": ""}
            case {"event": "stopped", "reason": reason}:
                values |= {"state": "stopped", "last_error": reason}
    return RunProgress(**values)
