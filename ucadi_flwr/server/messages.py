"""The messages of one attempt: terms, and what each site lacks of the model that it works on."""

from collections.abc import Mapping, Sequence

from flwr.app import ArrayRecord, ConfigRecord, Message, RecordDict

from ucadi_flwr.exchange.terms import RunTerms, TestTerms, TrainTerms
from ucadi_flwr.exchange.wire import size
from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.server.cohort import Member
from ucadi_flwr.server.run_state import RunState

_SUMMED = ("initial", "sums", "weights", "sealed")


class ModelRecords:
    """What each site lacks of a model, as records; sites that lack the same share one copy.

    Args:
        state: of the run.
        opened: site → the round whose model it has opened.
        initial: the model that all start from.
    """

    def __init__(self, state: RunState, opened: Mapping[str, int], initial: ArrayRecord) -> None:
        self._state, self._opened, self._initial = state, opened, initial
        self._records: dict[tuple[str, int | None], dict[str, ArrayRecord]] = {}

    def missing_at(self, site: str, trained_at: str) -> dict[str, ArrayRecord]:
        """The records of a message to ``site`` about the model of ``trained_at``."""
        key = (trained_at, self._opened.get(site))
        if key not in self._records:
            self._records[key] = self._state.missing(*key, self._initial)
        return self._records[key]


def train_messages(
    members: Sequence[Member],
    terms: TrainTerms,
    recipe: StrategyRecipe,
    records: ModelRecords,
    shared: Mapping[str, ArrayRecord],
) -> list[Message]:
    """One message a member; ``shared`` are records that all get."""
    messages = []
    for node, site in members:
        trained_at = trained_by(site, recipe)
        own = terms.model_copy(update={"trained_at": trained_at})
        content = {**records.missing_at(site, trained_at), **shared}
        messages.append(_message("train", node, own, content, recipe, terms.server_round))
    return messages


def test_messages(
    members: Sequence[Member],
    terms: TestTerms,
    recipe: StrategyRecipe,
    records: ModelRecords,
    server_round: int,
) -> list[Message]:
    """One message a member."""
    return [
        _message(
            "evaluate",
            node,
            terms,
            records.missing_at(site, terms.trained_at),
            recipe,
            server_round,
        )
        for node, site in members
    ]


def trained_by(site: str, recipe: StrategyRecipe) -> str:
    """Whose model a site trains: that of all sites, or its own."""
    return site if recipe.cohort == "each-site" else ALL_SITES


def summed_bytes(message: Message, recipe: StrategyRecipe) -> int:
    """Bytes of what is summed; the reference arms move it on one machine only."""
    return size(message.content, _SUMMED) if recipe.cohort == "all" else 0


def _message(
    kind: str,
    node: int,
    terms: RunTerms,
    records: Mapping[str, ArrayRecord],
    recipe: StrategyRecipe,
    server_round: int,
) -> Message:
    content = RecordDict({**records, "config": ConfigRecord(terms.config())})
    return Message(content, node, kind, ttl=recipe.round_timeout, group_id=str(server_round))
