"""``analysis.json``: the measures of every strategy and their differences, for the report.

It is computed from the predictions that a simulation keeps (:mod:`ucadi_flwr.comparison`) and can
be computed from them again at any time. Unknown keys are errors.
"""

from pathlib import Path
from typing import Literal

from pydantic import Field

from ucadi_flwr.results.experiment import Part, read_document, write_document

OWN = "own"
"""``trained_at`` of local models taken together: each site's cases are scored by its own model."""

FEWEST_POINTS = 20
"""With fewer cases than this, there is no picture of their features."""

Unit = Literal["scan", "patient"]
Measure = Literal["auc", "accuracy"]
"""The measures that strategies are compared by."""


class Estimate(Part):
    """A measure: its mean over seeds, a 95 % interval over cases, and its SD over seeds."""

    mean: float | None
    low: float | None = None
    high: float | None = None
    sd: float | None = Field(None, description="over seeds; None with one seed")


UNDEFINED = Estimate(mean=None)
"""A measure that is not defined on these cases, such as the AUC of one class."""


class Roc(Part):
    """Sensitivity over the false-positive rate, with a pointwise 95 % band over cases."""

    fpr: list[float]
    tpr: list[float]
    low: list[float | None]
    high: list[float | None]


class CalibrationBin(Part):
    """Cases whose score lies in one bin: mean score, fraction of positives, number of cases."""

    score: float
    fraction: float
    cases: int


class Tested(Part):
    """The measures of one strategy's model, or of its local models, on one test set."""

    strategy: str
    trained_at: str = Field(description="'all', one site, or 'own'")
    tested_at: str = Field(description="one site, or 'all'")
    held_out: bool = Field(False, description="no site of this test set took part in training")
    unit: Unit
    cases: int
    patients: int
    positives: int
    seeds: list[int]
    figures: dict[str, Estimate] = Field(
        description="auc, accuracy, sensitivity, specificity, precision, fpr, f1, ece, brier"
    )
    auc_by_class: dict[str, Estimate]
    auc_binned: float | None = Field(
        None, description="mean over seeds of the AUC from the counts that a real site would send"
    )
    confusion: list[list[int]] = Field(description="rows true, columns predicted; sum over seeds")
    roc: Roc | None = None
    calibration: list[CalibrationBin] = Field(default_factory=list)


class Difference(Part):
    """Strategy ``a`` minus strategy ``b`` on exactly the same cases."""

    a: str
    b: str
    tested_at: str
    unit: Unit
    measure: Measure
    difference: Estimate
    p: float | None
    p_holm: float | None = Field(description="corrected over the differences of a measure and unit")
    method: str


class ReaderMeasures(Part):
    """One reader, the mean of the readers or their majority vote, on the model's test cases."""

    reader: str
    cases: int
    sensitivity: Estimate
    specificity: Estimate
    ties: list[str] = Field(default_factory=list, description="cases left for discussion")
    p: float | None = Field(None, description="model against this reader, correct decisions")
    p_holm: float | None = None


class ReaderStudy(Part):
    """Readers compared with one strategy's model."""

    strategy: str
    seed: int
    model_sensitivity: Estimate
    model_specificity: Estimate
    readers: list[ReaderMeasures]


class Embedding(Part):
    """Test cases of all sites, placed by the features that one model computes from them.

    ``x`` and ``y`` are the coordinates of t-SNE, empty if there is no picture. ``label`` and
    ``site`` are each case's index into the task's classes and into ``sites``.
    """

    strategy: str
    seed: int
    sites: list[str]
    of: int = Field(description="number of test cases; len(label) of them were drawn at random")
    features: int = Field(description="number of features of a case")
    label: list[int]
    site: list[int]
    silhouette_class: float | None = Field(description="of the features, not of the picture")
    silhouette_site: float | None
    perplexity: float | None = None
    x: list[float] = Field(default_factory=list)
    y: list[float] = Field(default_factory=list)


class Analysis(Part):
    """The whole document."""

    schema_version: Literal[1] = 1
    level: float = 0.95
    reference: str = Field(description="the strategy that the others are compared with")
    positive_class: str
    tested: list[Tested]
    differences: list[Difference]
    readers: list[ReaderStudy] = Field(default_factory=list)
    embeddings: list[Embedding] = Field(default_factory=list)
    warnings: list[str] = Field(default_factory=list)


def write_analysis(path: Path, analysis: Analysis) -> None:
    """Write atomically."""
    write_document(path, analysis)


def read_analysis(path: Path) -> Analysis:
    """Read and check; raise :class:`DataError` naming the file and the first problem."""
    return read_document(path, Analysis, "run ucadi report on the folder")
