"""``results.json``: the result of an experiment, a typed document; docs/results.md explains it."""

from pathlib import Path
from typing import Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ucadi_flwr.errors import DataError
from ucadi_flwr.evaluation.metrics import TestMeasures
from ucadi_flwr.files.atomic import replacing
from ucadi_flwr.limits import RESULTS_BYTES
from ucadi_flwr.results.rounds import RoundRecord

Document = TypeVar("Document", bound="Part")


class Part(BaseModel):
    """A part of the document: unknown keys are errors."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class RecipeRef(Part):
    """A recipe by name and digest (SHA-256 of its canonical JSON)."""

    name: str
    digest: str


class Model(Part):
    """A trained model: where, its file in the results folder, and its tests by site."""

    trained_at: str = Field(description="'all', or the one site that trained it")
    file: str
    sha256: str
    test: dict[str, TestMeasures]


class Fold(Part):
    """One model of a cross-validation on its validation cases; ``chosen``: this one is tested."""

    fold: int
    trained_at: str
    validation: dict[str, TestMeasures]
    score: float = Field(description="AUC over the validation cases, or accuracy without one")
    chosen: bool


class Cell(Part):
    """One strategy × seed. A cell that failed has an ``error`` and whatever came before it.

    With folds, ``rounds`` are those of the first chosen fold and ``models`` the chosen ones.
    """

    strategy: RecipeRef
    seed: int
    seconds: float
    parameters: int
    rounds: list[RoundRecord]
    models: list[Model]
    folds: list[Fold] = Field(default_factory=list)
    error: str | None = None


class TaskRef(RecipeRef):
    """The task, with what a reader of the figures needs to know of it."""

    summary: str
    classes: list[str]
    positive_class: str
    phantom: bool = Field(description="whether the images were computed, not taken")


class SiteData(Part):
    """A site's cases by part and class."""

    train: dict[str, int]
    validation: dict[str, int]
    test: dict[str, int]
    train_bytes: int = Field(0, description="of its training images as files: what pooling moves")


class Results(Part):
    """The whole document."""

    schema_version: Literal[1] = 1
    created: str = Field(description="ISO 8601, UTC")
    command: str
    task: TaskRef
    sites: dict[str, SiteData]
    held_out: list[str] = Field(default_factory=list, description="sites that never trained")
    environment: dict[str, str]
    cells: list[Cell]


def write_results(path: Path, results: Results) -> None:
    """Write atomically."""
    write_document(path, results)


def read_results(path: Path) -> Results:
    """Read and check; raise :class:`DataError` naming the file and the first problem."""
    return read_document(path, Results, "run an experiment first")


def write_document(path: Path, document: Part) -> None:
    """Write atomically: the old document stays, or the new one is there whole."""
    with replacing(path) as partial:
        partial.write_text(document.model_dump_json(indent=2), encoding="utf-8")


def read_document(path: Path, kind: type[Document], remedy: str) -> Document:
    """Read and check one document; ``remedy`` says what to do where there is none."""
    try:
        if path.stat().st_size > RESULTS_BYTES:
            raise DataError(f"{path}: larger than {RESULTS_BYTES} bytes; not a file of results")
        return kind.model_validate_json(path.read_bytes())
    except OSError as error:
        raise DataError(f"{path}: {error.strerror}; {remedy}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise DataError(f"{path}: {where}: {first['msg']}") from None
