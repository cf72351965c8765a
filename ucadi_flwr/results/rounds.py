"""What is recorded about a round, for the journal, checkpoints and results."""

from dataclasses import asdict, dataclass, field
from typing import Any


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
