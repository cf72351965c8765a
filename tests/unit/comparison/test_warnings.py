"""What a reader is told before believing the figures."""

import numpy as np
import pytest

MANY = [0, 1] * 12


def test_nothing_to_tell(lab):
    for name in ("north", "south"):
        lab.site(name, MANY)
        lab.predict("fedavg", 0, name, np.linspace(0.1, 0.9, 24))
    assert lab.analyse().warnings == []


@pytest.mark.parametrize(
    ("label", "told"), [(1, "positives only: sensitivity"), (0, "negatives only: specificity")]
)
def test_a_site_with_one_class(lab, look, label, told):
    lab.site("north", MANY)
    lab.site("hannover", [label] * 12)
    for name in ("fedavg", "other"):
        lab.predict(name, 0, "north", np.linspace(0.1, 0.9, 24))
        lab.predict(name, 0, "hannover", np.linspace(0.3, 0.8, 12))
    analysis = lab.analyse()
    assert analysis.warnings == [f"site hannover has {told} alone is defined there"]
    row = look.tested(analysis, "fedavg", "hannover")
    assert (row.figures["auc"].mean, row.auc_binned, row.roc) == (None, None, None)
    assert {e.mean for e in row.auc_by_class.values()} == {None}
    one, none = ("sensitivity", "specificity") if label else ("specificity", "sensitivity")
    assert row.figures[one].mean == pytest.approx(7 / 12 if label else 5 / 12)
    assert row.figures[none].mean is None
    assert row.figures["brier"].mean is not None
    assert row.calibration
    at = [d.measure for d in analysis.differences if d.tested_at == "hannover"]
    assert at == ["accuracy"]
    assert look.difference(analysis, "other", "all").p == 1.0


def test_a_class_of_one_site(lab):
    lab.site("north", MANY)
    lab.site("south", [0] * 12, train={"healthy": 9})
    for name, n in (("north", 24), ("south", 12)):
        lab.predict("fedavg", 0, name, np.linspace(0.1, 0.9, n))
    assert (
        "class covid-19 occurs at site north only: what tells the class may be what tells the site"
        in lab.analyse().warnings
    )
    del lab.data["south"]  # one site: nothing to confound
    assert not [w for w in lab.analyse().warnings if w.startswith("class")]


def test_few_patients(lab):
    lab.site("site-1", [1] * 12 + [0] * 9, [f"p{i // 2}" for i in range(12)] + list("abcdefghi"))
    lab.site("south", [1] + [0] * 20)
    lab.predict("fedavg", 0, "site-1", np.linspace(0.1, 0.9, 21))
    lab.predict("fedavg", 0, "south", np.linspace(0.1, 0.9, 21))
    assert lab.analyse().warnings == [
        "site-1 tests 6 positive patients and 9 negative patients: its intervals are rough",
        "site south tests 1 positive patient: its intervals are rough",
    ]


def test_a_model_that_calls_nothing_positive(lab, look):
    lab.site("north", MANY)
    lab.predict("fedavg", 0, "north", np.linspace(0.1, 0.9, 24))
    lab.predict("fedavg", 1, "north", np.linspace(0.1, 0.4, 24))
    analysis = lab.analyse()
    assert analysis.warnings == [
        "fedavg calls no case positive at site north and all sites together in at least one seed: "
        "precision is not defined there"
    ]
    assert look.tested(analysis, "fedavg", "north").figures["precision"].mean is None
    assert look.tested(analysis, "fedavg", "north").figures["f1"].mean > 0


def test_scores_that_share_bins(lab, look):
    lab.site("north", MANY)
    scores = 0.6 + 1e-6 * np.array(MANY)
    lab.predict("fedavg", 0, "north", scores)
    lab.predict("local", 0, "north", scores, "north")
    analysis = lab.analyse()
    assert look.tested(analysis, "fedavg", "north").auc_binned == 0.5
    told = "is 1.0000, but 0.5000 from the counts that a site would send: its scores share few bins"
    assert analysis.warnings == [
        f"the AUC of {name} at {where} {told}"
        for name in ("fedavg", "local (trained at north)", "local (trained at own)")
        for where in ("site north", "all sites together")
    ]
