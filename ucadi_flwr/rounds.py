"""What is written down about rounds, and the journal that is told while they run."""

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ucadi_flwr.evaluation.counts import Counts


@dataclass(frozen=True)
class SiteRecord:
    """One site's part in one round; None is what the server does not learn.

    ``seconds`` of training, ``protect_seconds`` of opening and sealing.
    """

    examples: int | None
    epochs: int
    loss: float | None
    seconds: float
    protect_seconds: float


@dataclass
class RoundRecord:
    """One round; bytes are those of models and what else is summed, over all sites.

    ``attempts``: more than one if ranges had to be widened. ``add_seconds``: the server's own work.
    ``loss`` is the mean over the sites' cases; None where they are encrypted.
    """

    round: int
    attempts: int = 1
    seconds: float = 0.0
    add_seconds: float = 0.0
    loss: float | None = None
    bytes_up: int = 0
    bytes_down: int = 0
    sites: dict[str, SiteRecord] = field(default_factory=dict)
    failures: list[dict[str, str]] = field(default_factory=list)

    def fail(self, site: str, reason: str) -> None:
        """Write down that a site was left out."""
        self.failures.append({"site": site, "reason": reason})

    def describe_failures(self) -> str:
        """All failures in one line."""
        return "; ".join(f"{f['site']}: {f['reason']}" for f in self.failures) or "none"

    def mean_loss(self) -> float | None:
        """The sites' training loss, by cases where their numbers are known."""
        losses = [site.loss for site in self.sites.values() if site.loss is not None]
        if not losses:
            return None
        weights = [site.examples or 1 for site in self.sites.values()]
        return sum(n * loss for n, loss in zip(weights, losses, strict=True)) / sum(weights)

    def as_dict(self) -> dict[str, Any]:
        """For JSON, sites in the order of their names."""
        values = asdict(self)
        values["sites"] = dict(sorted(values["sites"].items()))
        return values


class Journal:
    """Appends one JSON line an event to a file, for whoever watches the run."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path

    def log(self, text: str) -> None:
        """Something to read."""
        self._write("log", text=text)

    def resumed(self, server_round: int) -> None:
        """Another process goes on after this round."""
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

    def tested(self, trained_at: str, tests: dict[str, Counts]) -> None:
        """A model was tested at these sites."""
        self._write("tested", trained_at=trained_at, sites=sorted(tests))

    def stopped(self, reason: str) -> None:
        """The run ended early."""
        self._write("stopped", reason=reason)

    def _write(self, event: str, **values: Any) -> None:
        line = json.dumps({"event": event, "time": time.time(), **values})
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
