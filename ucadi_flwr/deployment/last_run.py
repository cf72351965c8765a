"""The run that was submitted last, and how far it is according to its journal."""

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
    """Recipes, results folder and Flower's number of a run.

    ``stopped``: ``ucadi submit`` stopped the run; the journal does not record that.
    """

    task: str
    strategy: str
    out: str
    run: str
    stopped: bool = False

    @property
    def journal(self) -> Path:
        """The run's journal."""
        return RunFolder(Path(self.out)).server.journal

    @property
    def finished(self) -> bool:
        """Whether the run's last file is written."""
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
    """Write the file atomically."""
    with replacing(path) as partial:
        partial.write_text(json.dumps(asdict(run), indent=2) + "\n", encoding="utf-8")


def load(path: Path) -> LastRun | None:
    """Read the file; None if there is none or it is damaged, since only the display needs it."""
    try:
        return LastRun(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return None


def read_progress(run: LastRun) -> RunProgress:
    """How far a run is now, from its journal, its last file and the lock of its folder."""
    progress = summarise(read_journal(run.journal))
    if run.finished:
        return replace(progress, state="finished")
    if run.stopped:
        return replace(progress, state="stopped")
    if progress.state in ("running", "testing") and not in_use(run.journal.parent):
        return replace(progress, state="interrupted")
    return progress


def summarise(events: Iterable[Event]) -> RunProgress:
    """The journal's events → how far the run is; ``round`` is the last complete one.

    >>> summarise([{"event": "round", "round": 1, "rounds": 2, "loss": None}])
    RunProgress(state='running', round=1, rounds=2, sites=(), last_error='')
    """
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
