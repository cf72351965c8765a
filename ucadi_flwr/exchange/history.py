"""What a server keeps of a model: how it began, and the sums since; no model that it can read."""

from dataclasses import dataclass, field

from flwr.app import ArrayRecord

from ucadi_flwr.exchange.names import parse_name
from ucadi_flwr.exchange.wire import blob_record


@dataclass
class History:
    """One model. ``whole``: a server optimiser's step needs the rounds before, so all are kept.

    Else the newest sum tells all; the one before it stays until the sites have opened the newest.
    """

    initial: ArrayRecord = field(repr=False)
    whole: bool
    sums: dict[str, bytes] = field(default_factory=dict, repr=False)

    def add(self, name: str, total: bytes) -> None:
        """A round's sum, by ``round.attempt``."""
        if not self.whole:
            self.sums = dict(list(self.sums.items())[-1:])
        self.sums[name] = total

    def revert(self) -> tuple[int, int]:
        """Give up the newest sum, which the sites could not open: its round, and that before."""
        bad, _ = self.sums.popitem()
        return parse_name(bad)[0], max((parse_name(name)[0] for name in self.sums), default=0)

    @property
    def newest(self) -> dict[str, bytes]:
        """The sums that make the model: all that are kept, or the last."""
        return self.sums if self.whole else dict(list(self.sums.items())[-1:])

    def since(self, opened: int | None) -> dict[str, ArrayRecord]:
        """The records that a site needs that has the model of round ``opened`` (None: none)."""
        if not self.whole:
            opened = None
        content: dict[str, ArrayRecord] = {}
        if opened is None and (self.whole or not self.sums):
            content["initial"] = self.initial
        after = -1 if opened is None else opened
        missing = {name: b for name, b in self.newest.items() if parse_name(name)[0] > after}
        if missing:
            content["sums"] = blob_record(missing)
        return content
