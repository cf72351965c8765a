"""What all recipes share: strict, frozen sections whose keys are written in kebab-case."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
"""The name of a recipe: lower case, digits and hyphens, at most 64 characters."""

Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.+-]{0,63}$")]
"""A class or a manifest's label: one short plain word or phrase."""


def kebab(field: str) -> str:
    """``learning_rate`` → ``learning-rate``; ``schema_version`` stays, as in every format here."""
    return field if field == "schema_version" else field.replace("_", "-")


class Section(BaseModel):
    """A part of a recipe: unknown keys are errors, values are never changed after loading."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=kebab,
        allow_inf_nan=False,
        str_max_length=2000,
    )
