"""The terms of a message: what the server asks of a site, as typed values.

They travel in the message's ``config`` record, in kebab-case, and are checked at the site before
anything else of the message is looked at.
"""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ucadi_flwr.errors import FederationError
from ucadi_flwr.limits import MULTIPLIERS_CHARACTERS
from ucadi_flwr.recipes.base import kebab

Digest = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Exchange = Annotated[str, Field(pattern=r"^[0-9]{1,9}\.[0-9]{1,5}$")]
TrainedAt = Annotated[str, Field(min_length=1, max_length=64)]


class RunTerms(BaseModel):
    """The same in every message of a run."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, alias_generator=kebab, populate_by_name=True
    )

    task_digest: Digest
    strategy_digest: Digest
    run: Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
    rounds: int = Field(ge=1, le=10**9)
    seed: int = Field(ge=0)
    tested: Literal["test", "validation"] = Field(description="the part of the cases to test on")

    @classmethod
    def read(cls, config: Mapping[str, Any]) -> Self:
        """A message's config → terms; raise :class:`FederationError` naming the first bad key."""
        try:
            return cls.model_validate(dict(config))
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False)[0]
            where = ".".join(str(part) for part in first["loc"])[:64]
            raise FederationError(f"the message's terms: {where}: {first['msg']}") from None

    def config(self) -> dict[str, Any]:
        """The terms as a message's config; :meth:`read` is the inverse."""
        return self.model_dump(by_alias=True)

    def of_run(self) -> dict[str, Any]:
        """The values that every message of the run has, to build another kind of terms from."""
        return {name: getattr(self, name) for name in RunTerms.model_fields}


class WeightTerms(RunTerms):
    """Seal your weight."""

    exchange: Exchange = Field(description="round.attempt")


class TrainTerms(RunTerms):
    """Train for one round from the model that the message brings, and seal the result."""

    exchange: Exchange = Field(description="round.attempt")
    server_round: int = Field(ge=1, le=10**9)
    trained_at: TrainedAt = Field(description="whose model: 'all', or the site's own")
    total_weight: int = Field(ge=0, description="of all sites; 0 where only the sites learn it")
    multipliers: Annotated[str, Field(max_length=MULTIPLIERS_CHARACTERS)] = Field(
        description="JSON, tensor → power of two by which its range is wider"
    )


class TestTerms(RunTerms):
    """Test the model that the message brings."""

    __test__ = False  # pytest: not a test

    exchange: Exchange = Field(description="round.attempt")
    trained_at: TrainedAt = Field(description="whose model: 'all', or one site's")
