"""What all recipes share: strict, frozen sections whose keys are written in kebab-case."""

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from ucadi_flwr.errors import DataError

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
"""The name of a recipe: lower case, digits and hyphens, at most 64 characters."""

Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.+-]{0,63}$")]
"""A class or a manifest's label: one short plain word or phrase."""


ALL_SITES = "all"
"""The name of all sites' cases together, and of a model that all sites trained."""


def check_site_name(name: str) -> str:
    """Return a site's name if files can be named after it; else raise :class:`DataError`."""
    if name == ALL_SITES or not re.fullmatch(r"\w[\w .-]{0,63}", name):
        raise DataError(
            f"a site cannot be named {name[:64]!r}: up to 64 letters, digits, spaces, '.', '-' or "
            f"'_', not '{ALL_SITES}'"
        )
    return name


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
