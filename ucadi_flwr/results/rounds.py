"""The record of a round: the same in the journal, in checkpoints, in run.json and results.json.

Documents that hold records check them with pydantic; unknown keys are errors there.
"""

from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar

from pydantic import ConfigDict

STRICT = ConfigDict(extra="forbid")


@dataclass(frozen=True)
class SiteRecord:
    """One site's part in one round; None is what the server does not learn.

    ``seconds`` of training, ``protect_seconds`` of opening and sealing.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    examples: int | None
    epochs: int
    loss: float | None
    seconds: float
    protect_seconds: float


@dataclass(frozen=True)
class FailureRecord:
    """A site that was left out of a round, and why."""

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    site: str
    reason: str


@dataclass
class RoundRecord:
    """One round; bytes are those of models and what else is summed, over all sites.

    ``attempts``: more than one if ranges had to be widened. ``add_seconds``: the server's own work.
    ``loss`` is the mean over the sites' cases; None where they are encrypted.
    """

    __pydantic_config__: ClassVar[ConfigDict] = STRICT

    round: int
    attempts: int = 1
    seconds: float = 0.0
    add_seconds: float = 0.0
    loss: float | None = None
    bytes_up: int = 0
    bytes_down: int = 0
    sites: dict[str, SiteRecord] = field(default_factory=dict)
    failures: list[FailureRecord] = field(default_factory=list)

    def fail(self, site: str, reason: str) -> None:
        """Record that a site was left out."""
        self.failures.append(FailureRecord(site, reason))

    def describe_failures(self) -> str:
        """All failures in one line."""
        return "; ".join(f"{f.site}: {f.reason}" for f in self.failures) or "none"

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
