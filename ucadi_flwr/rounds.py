"""What is written down about rounds, and the journal that is told while they run."""

import json
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ucadi_flwr.evaluation.counts import Counts


@dataclass(frozen=True)
class SiteRecord:
    """One site's part in one round; ``seconds`` of its own work."""

    examples: int
    epochs: int
    loss: float
    seconds: float


@dataclass
class RoundRecord:
    """One round; bytes are those of the model's arrays, over all sites."""

    round: int
    seconds: float = 0.0
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

    def mean_loss(self) -> float:
        """The sites' training loss, weighted by their cases."""
        total = sum(site.examples for site in self.sites.values())
        return sum(site.loss * site.examples for site in self.sites.values()) / total

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
        self._write("round", round=record.round, rounds=rounds, loss=record.mean_loss())

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
