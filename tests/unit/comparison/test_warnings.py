"""The warnings of an analysis."""

import numpy as np
import pytest
from helpers import find
from helpers.known import known
from helpers.small_experiment import SmallExperiment

MANY = [0, 1] * 12


def test_no_warning(experiment: SmallExperiment) -> None:
    for name in ("north", "south"):
        experiment.site(name, MANY)
        experiment.predict("fedavg", 0, name, np.linspace(0.1, 0.9, 24))
    assert experiment.analyse().warnings == []


@pytest.mark.parametrize(
    ("label", "warning"),
    [
        (1, "only positive cases: AUC and specificity are not defined there"),
        (0, "only negative cases: AUC and sensitivity are not defined there"),
    ],
)
def test_a_site_with_one_class(experiment: SmallExperiment, label: int, warning: str) -> None:
    experiment.site("north", MANY)
    experiment.site("hannover", [label] * 12)
    for name in ("fedavg", "other"):
        experiment.predict(name, 0, "north", np.linspace(0.1, 0.9, 24))
        experiment.predict(name, 0, "hannover", np.linspace(0.3, 0.8, 12))
    analysis = experiment.analyse()
    assert analysis.warnings == [f"site hannover has {warning}"]
    row = find.row(analysis, "fedavg", "hannover")
    assert (row.figures["auc"].mean, row.auc_binned, row.roc) == (None, None, None)
    assert {e.mean for e in row.auc_by_class.values()} == {None}
    names = ("sensitivity", "specificity")
    defined, undefined = names if label else reversed(names)
    assert row.figures[defined].mean == pytest.approx(7 / 12 if label else 5 / 12)
    assert row.figures[undefined].mean is None
    assert row.figures["brier"].mean is not None
    assert row.calibration
    at = [d.measure for d in analysis.differences if d.tested_at == "hannover"]
    assert at == ["accuracy"]
    assert find.difference(analysis, "other", "all").p == 1.0


def test_a_class_of_one_site(experiment: SmallExperiment) -> None:
    experiment.site("north", MANY)
    experiment.site("south", [0] * 12, train={"healthy": 9})
    for name, n in (("north", 24), ("south", 12)):
        experiment.predict("fedavg", 0, name, np.linspace(0.1, 0.9, n))
    assert (
        "class covid-19 occurs at site north only: a model may recognise the site instead of the "
        "class" in experiment.analyse().warnings
    )
    del experiment.data["south"]  # one site: nothing to confound
    assert not [w for w in experiment.analyse().warnings if w.startswith("class")]


def test_few_patients(experiment: SmallExperiment) -> None:
    experiment.site(
        "site-1", [1] * 12 + [0] * 9, [f"p{i // 2}" for i in range(12)] + list("abcdefghi")
    )
    experiment.site("south", [1] + [0] * 20)
    experiment.predict("fedavg", 0, "site-1", np.linspace(0.1, 0.9, 21))
    experiment.predict("fedavg", 0, "south", np.linspace(0.1, 0.9, 21))
    assert experiment.analyse().warnings == [
        "site-1 has only 6 positive patients and 9 negative patients in its test: its intervals "
        "are imprecise",
        "site south has only 1 positive patient in its test: its intervals are imprecise",
    ]


def test_a_model_without_a_positive_decision(experiment: SmallExperiment) -> None:
    experiment.site("north", MANY)
    experiment.predict("fedavg", 0, "north", np.linspace(0.1, 0.9, 24))
    experiment.predict("fedavg", 1, "north", np.linspace(0.1, 0.4, 24))
    analysis = experiment.analyse()
    assert analysis.warnings == [
        "fedavg decides positive for no case at site north and all sites together in at least one "
        "seed: precision is not defined there"
    ]
    assert find.row(analysis, "fedavg", "north").figures["precision"].mean is None
    assert known(find.row(analysis, "fedavg", "north").figures["f1"].mean) > 0


def test_scores_that_fall_into_few_bins(experiment: SmallExperiment) -> None:
    experiment.site("north", MANY)
    scores = 0.6 + 1e-6 * np.array(MANY)
    experiment.predict("fedavg", 0, "north", scores)
    experiment.predict("local", 0, "north", scores, "north")
    analysis = experiment.analyse()
    assert find.row(analysis, "fedavg", "north").auc_binned == 0.5
    problem = (
        "is 1.0000, but 0.5000 from the counts that a site would send: its scores fall into few "
        "bins"
    )
    assert analysis.warnings == [
        f"the AUC of {name} at {where} {problem}"
        for name in ("fedavg", "local (trained at north)", "local (each site's own model)")
        for where in ("site north", "all sites together")
    ]
