"""The rows of the analysis: local models, all sites, held-out sites, patients, missing tests."""

import numpy as np
import pytest
from helpers import find
from helpers.known import known
from helpers.small_experiment import SmallExperiment
from numpy.typing import NDArray

from ucadi_flwr.errors import DataError

NORTH, SOUTH = [1, 1, 0, 0], [1, 0, 0, 1, 0]
RNG = np.random.default_rng(17)


def scores(labels: list[int]) -> NDArray[np.float64]:
    return np.clip(
        0.5 + 0.2 * (2 * np.array(labels) - 1) + 0.2 * RNG.normal(size=len(labels)), 0, 1
    )


def local(
    experiment: SmallExperiment, seed: int = 0, strategy: str = "local"
) -> dict[str, NDArray[np.float64]]:
    """Test each site's model at each site; return the scores at its own site."""
    own = {}
    for trained_at in ("north", "south"):
        for site, labels in (("north", NORTH), ("south", SOUTH)):
            values = scores(labels)
            experiment.predict(strategy, seed, site, values, trained_at)
            if site == trained_at:
                own[site] = values
    return own


@pytest.fixture
def sites(experiment: SmallExperiment) -> SmallExperiment:
    experiment.site("north", NORTH)
    experiment.site("south", SOUTH)
    return experiment


def test_own_rows_have_each_sites_cases_scored_by_its_own_model(sites: SmallExperiment) -> None:
    own = local(sites)
    for site, values in own.items():
        sites.predict("fedavg", 0, site, values)
    analysis = sites.analyse()
    rows = [(t.trained_at, t.tested_at) for t in analysis.tested if t.strategy == "local"]
    assert rows == [
        (trained, tested)
        for trained in ("north", "south", "own")
        for tested in ("north", "south", "all")
    ]
    for tested_at in ("north", "south", "all"):
        local_models = find.row(analysis, "local", tested_at, "own")
        same = find.row(analysis, "fedavg", tested_at)
        assert local_models.model_dump(exclude={"strategy", "trained_at"}) == same.model_dump(
            exclude={"strategy", "trained_at"}
        )
        assert local_models.roc is not None
        assert local_models.calibration
    for measure in ("auc", "accuracy"):
        row = find.difference(analysis, "local", "all", measure)
        assert (row.difference.mean, row.p) == (0.0, 1.0)
    assert find.row(analysis, "local", "south", "north").roc is None
    assert find.row(analysis, "local", "south", "north").calibration == []


def test_held_out_sites(sites: SmallExperiment) -> None:
    sites.site("west", [1, 0, 1], train={})
    local(sites)
    for strategy in ("fedavg", "central", "early"):
        for site, labels in (("north", NORTH), ("south", SOUTH), ("west", [1, 0, 1])):
            sites.predict(strategy, 0, site, scores(labels))
    for trained_at in ("north", "south"):
        sites.predict("local", 0, "west", scores([1, 0, 1]), trained_at)
    sites.rounds = {"central": ["all"], "early": ["north"], "fedavg": ["north", "south"]}
    analysis = sites.analyse()
    held_out = {(t.strategy, t.trained_at, t.tested_at) for t in analysis.tested if t.held_out}
    assert held_out == {
        ("local", "north", "south"),
        ("local", "north", "west"),
        ("local", "south", "north"),
        ("local", "south", "west"),
        ("fedavg", "all", "west"),
        ("central", "all", "west"),
        ("early", "all", "south"),
        ("early", "all", "west"),
    }
    assert not [t for t in analysis.tested if (t.trained_at, t.tested_at) == ("own", "all")]
    assert (
        "local has no model that was trained at site west: it is compared only at the other sites, "
        "not on all cases" in analysis.warnings
    )


def test_a_seed_that_was_not_tested_at_a_site(sites: SmallExperiment) -> None:
    for seed in (0, 1):
        sites.predict("fedavg", seed, "north", scores(NORTH))
    sites.predict("fedavg", 1, "south", scores(SOUTH))
    analysis = sites.analyse()
    seeds = {t.tested_at: t.seeds for t in analysis.tested}
    assert seeds == {"north": [0, 1], "south": [1], "all": [1]}
    assert (
        "fedavg, seed 0 was not tested at site south: it is left out of the results there and of "
        "those of all sites together" in analysis.warnings
    )


def test_a_local_model_that_was_not_tested_at_its_own_site(sites: SmallExperiment) -> None:
    sites.predict("local", 0, "north", scores(NORTH), "north")
    sites.predict("local", 0, "north", scores(NORTH), "south")
    sites.predict("local", 1, "south", scores(SOUTH), "south")
    analysis = sites.analyse()
    own = {t.tested_at: t.seeds for t in analysis.tested if t.trained_at == "own"}
    assert own == {"north": [0], "south": [1]}
    assert any(
        "the model of site north, was not tested at site south" in w for w in analysis.warnings
    )


def test_a_model_of_a_site_that_is_not_tested(sites: SmallExperiment) -> None:
    sites.predict("local", 0, "north", scores(NORTH), "east")
    analysis = sites.analyse()
    assert [(t.trained_at, t.tested_at, t.held_out) for t in analysis.tested] == [
        ("east", "north", True),
        ("east", "all", True),
    ]
    assert analysis.reference == "local"
    assert analysis.differences == []


def test_patients_with_one_name_at_two_sites_are_two_patients(experiment: SmallExperiment) -> None:
    experiment.site("north", [1, 1, 0, 0], ["a", "a", "b", "b"], ["1", "2", "3", "4"])
    experiment.site("south", [1, 0], ["a", "b"], ["1", "2"])
    experiment.predict("fedavg", 0, "north", [0.9, 0.5, 0.2, 0.4])
    experiment.predict("fedavg", 0, "south", [0.8, 0.3])
    analysis = experiment.analyse()
    sizes = {(t.tested_at, t.unit): (t.cases, t.patients, t.positives) for t in analysis.tested}
    assert sizes == {
        ("north", "scan"): (4, 2, 2),
        ("south", "scan"): (2, 2, 1),
        ("all", "scan"): (6, 4, 3),
        ("north", "patient"): (2, 2, 1),
        ("south", "patient"): (2, 2, 1),
        ("all", "patient"): (4, 4, 2),
    }
    row = find.row(analysis, "fedavg", "north", unit="patient")
    assert row.figures["brier"].mean == pytest.approx((0.3**2 + 0.3**2) / 2)


def test_more_than_two_classes(experiment: SmallExperiment) -> None:
    experiment.classes = ("healthy", "other", "covid-19")
    experiment.site("north", [0, 1, 2, 2])
    rows = [[0.7, 0.2, 0.1], [0.5, 0.4, 0.1], [0.1, 0.1, 0.8], [0.2, 0.5, 0.3]]
    experiment.predict("fedavg", 0, "north", np.array(rows))
    row = find.row(experiment.analyse(), "fedavg", "north")
    assert row.confusion == [[1, 0, 0], [1, 0, 0], [0, 1, 1]]
    assert row.figures["accuracy"].mean == 0.5  # over all classes
    assert row.figures["auc"].mean == 1.0
    assert row.auc_by_class["covid-19"] == row.figures["auc"]
    # the score of the case of class "other" is .4: above .2 and .1, but not above .5
    assert row.auc_by_class["other"].mean == pytest.approx(2 / 3)


def test_the_choice_of_the_reference(sites: SmallExperiment) -> None:
    for name in ("ucadi", "central"):
        for site, labels in (("north", NORTH), ("south", SOUTH)):
            sites.predict(name, 0, site, scores(labels))
    assert sites.analyse().reference == "ucadi"
    local(sites, strategy="alone")
    analysis = sites.analyse("alone")
    assert analysis.reference == "alone"
    assert {(d.a, d.b) for d in analysis.differences} == {("ucadi", "alone"), ("central", "alone")}
    with pytest.raises(
        DataError, match=r"strategy fedavg has no finished run.* one of ucadi, central, alone"
    ):
        sites.analyse("fedavg")


def test_an_experiment_of_local_strategies_only(sites: SmallExperiment) -> None:
    local(sites, strategy="first")
    local(sites, strategy="second")
    analysis = sites.analyse()
    assert analysis.reference == "first"
    assert {d.a for d in analysis.differences} == {"second"}


def test_the_same_files_give_the_same_document(sites: SmallExperiment) -> None:
    local(sites)
    assert sites.analyse().model_dump_json() == sites.analyse().model_dump_json()


def test_holms_correction_is_over_one_measure(sites: SmallExperiment) -> None:
    for name in ("fedavg", "a", "b"):
        for site, labels in (("north", NORTH), ("south", SOUTH)):
            sites.predict(name, 0, site, scores(labels))
    differences = sites.analyse().differences
    for measure in ("auc", "accuracy"):
        rows = sorted((d for d in differences if d.measure == measure), key=lambda d: known(d.p))
        assert len(rows) == 6
        assert rows[0].p_holm == pytest.approx(min(1.0, 6 * known(rows[0].p)))
