"""The base of all recipes: strict, immutable sections whose keys are in kebab-case."""

import re
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from ucadi_flwr.errors import DataError

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
"""The name of a recipe: lower case, digits and hyphens, at most 64 characters."""

Label = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9 _.+-]{0,63}$")]
"""A class or a manifest's label: a short word or phrase of letters, digits and ``_.+-``."""


ALL_SITES = "all"
"""Stands for a site's name where the cases of all sites, or a model that all trained, are meant."""


def check_site_name(name: str) -> str:
    """Return a site's name if it can be used in file names.

    Raises:
        DataError: it cannot.
    """
    if name == ALL_SITES or not re.fullmatch(r"\w[\w .-]{0,63}", name):
        raise DataError(
            f"a site cannot be named {name[:64]!r}: up to 64 letters, digits, spaces, '.', '-' or "
            f"'_', not '{ALL_SITES}'"
        )
    return name


def kebab(field: str) -> str:
    """A field's key: ``learning_rate`` → ``learning-rate``; ``schema_version`` is unchanged."""
    return field if field == "schema_version" else field.replace("_", "-")


class StrictSection(BaseModel):
    """A part of a recipe: unknown keys are errors, and values cannot change after loading."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        alias_generator=kebab,
        allow_inf_nan=False,
        str_max_length=2000,
    )
