"""Equal seeds count exactly as one seed; different seeds are averaged and paired."""

import numpy as np
import pytest
from helpers import find
from helpers.known import known
from helpers.small_experiment import SmallExperiment

from ucadi_flwr.results.analysis import Estimate

RNG = np.random.default_rng(7)
LABELS = RNG.integers(0, 2, 60)
SCORES = np.clip(0.5 + 0.15 * (2 * LABELS - 1) + 0.2 * RNG.normal(size=60), 0, 1)
OTHER = np.clip(SCORES + 0.25 * RNG.normal(size=60), 0, 1)
PATIENTS = [f"p{i // 2}" for i in range(60)]  # with both labels, some of them


def dump(estimate: Estimate) -> dict[str, float | None]:
    return estimate.model_dump(exclude={"sd"})


def width(estimate: Estimate) -> float:
    return known(estimate.high) - known(estimate.low)


@pytest.mark.parametrize("patients", [None, PATIENTS])
@pytest.mark.parametrize("seeds", [2, 3])
def test_equal_seeds_count_as_one_seed(
    experiment: SmallExperiment, patients: list[str] | None, seeds: int
) -> None:
    experiment.site("north", LABELS, patients)
    for seed in range(seeds):
        experiment.predict("fedavg", seed, "north", SCORES)
        experiment.predict("other", seed, "north", OTHER)
    experiment.predict("one", 0, "north", SCORES)
    analysis = experiment.analyse()
    for unit in ("scan", "patient") if patients else ("scan",):
        many = find.row(analysis, "fedavg", "north", unit=unit)
        one = find.row(analysis, "one", "north", unit=unit)
        for name, figure in many.figures.items():
            assert figure.sd == 0.0
            assert one.figures[name].sd is None
            assert figure.mean == one.figures[name].mean
            assert dump(figure) == pytest.approx(dump(one.figures[name]), rel=1e-12)
        for line in ("tpr", "low", "high"):  # (x + x + x) / 3 may be an ulp beside x
            assert getattr(many.roc, line) == pytest.approx(getattr(one.roc, line), rel=1e-14)
        assert many.auc_binned == one.auc_binned
        assert np.array_equal(many.confusion, np.multiply(one.confusion, seeds))
    # three equal seeds compared with one: both have seed 0 only
    for measure in ("auc", "accuracy"):
        same = find.difference(analysis, "one", "north", measure)
        assert (same.difference.mean, same.p, same.p_holm) == (0.0, 1.0, 1.0)
        assert same.difference.sd is None


@pytest.mark.parametrize("patients", [None, PATIENTS])
def test_differences_of_equal_seeds_are_those_of_one(
    experiment: SmallExperiment, patients: list[str] | None
) -> None:
    experiment.site("north", LABELS, patients)
    for seed in range(3):
        experiment.predict("fedavg", seed, "north", SCORES)
        experiment.predict("other", seed, "north", OTHER)
    many = experiment.analyse()
    for seed in (1, 2):
        del experiment.tests["fedavg", seed], experiment.tests["other", seed]
    one = experiment.analyse()
    for measure in ("auc", "accuracy"):
        a, b = (find.difference(x, "other", "north", measure) for x in (many, one))
        assert a.difference.mean == b.difference.mean
        assert dump(a.difference) == pytest.approx(dump(b.difference), rel=1e-12)
        assert (a.p, a.p_holm) == pytest.approx((b.p, b.p_holm), rel=1e-12)
        assert a.difference.sd == 0.0
        assert "mean of 3 seeds" in a.method
        assert a.difference.mean != 0.0


@pytest.mark.parametrize("patients", [None, PATIENTS])
def test_identical_models_do_not_differ(
    experiment: SmallExperiment, patients: list[str] | None
) -> None:
    experiment.site("north", LABELS, patients)
    experiment.site("south", LABELS)
    for name in ("fedavg", "copy"):
        for seed in range(2):
            experiment.predict(name, seed, "north", SCORES if seed else OTHER)
            experiment.predict(name, seed, "south", OTHER)
    analysis = experiment.analyse()
    assert {d.a for d in analysis.differences} == {"copy"}
    for row in analysis.differences:
        assert (row.difference.mean, row.difference.sd) == (0.0, 0.0)
        assert (row.p, row.p_holm) == (1.0, 1.0)
        if row.measure == "auc":
            assert (row.difference.low, row.difference.high) == (0.0, 0.0)


def test_only_common_seeds_are_compared(experiment: SmallExperiment) -> None:
    experiment.site("north", LABELS)
    for seed, scores in ((0, SCORES), (1, OTHER), (2, SCORES[::-1])):
        experiment.predict("fedavg", seed, "north", scores)
    for seed, scores in ((4, OTHER), (1, SCORES), (0, OTHER)):
        experiment.predict("other", seed, "north", scores)
    experiment.predict("apart", 5, "north", OTHER)
    analysis = experiment.analyse()
    assert find.row(analysis, "other", "north").seeds == [0, 1, 4]
    auc = [find.row(analysis, s, "north").figures["auc"] for s in ("fedavg", "other")]
    assert all(known(a.sd) > 0 for a in auc)
    # over seeds 0 and 1, both have the same two models, in another order
    row = find.difference(analysis, "other", "north")
    assert row.difference.mean == 0.0
    assert known(row.difference.sd) > 0
    assert row.p == 1.0
    assert (row.difference.low, row.difference.high) == (None, None)
    assert not [d for d in analysis.differences if d.a == "apart"]
    assert (
        "other is compared with fedavg only over seeds 0 and 1, which both have"
        in analysis.warnings
    )
    assert "apart is not compared with fedavg: they have no seed in common" in analysis.warnings


def test_ten_scans_do_not_narrow_an_interval(experiment: SmallExperiment) -> None:
    experiment.site("once", LABELS)
    labels = np.repeat(LABELS, 10)
    experiment.site("ten", labels, [f"p{i // 10}" for i in range(600)])
    experiment.site("naive", labels)
    for name, scores in (("fedavg", SCORES), ("other", OTHER)):
        experiment.predict(name, 0, "once", scores)
        experiment.predict(name, 0, "ten", np.repeat(scores, 10))
        experiment.predict(name, 0, "naive", np.repeat(scores, 10))
    analysis = experiment.analyse()
    once, ten, naive = (find.row(analysis, "fedavg", at) for at in ("once", "ten", "naive"))
    assert (ten.cases, ten.patients) == (600, 60)
    for name, figure in once.figures.items():
        assert dump(ten.figures[name]) == pytest.approx(dump(figure), rel=1e-9), name
        assert width(naive.figures[name]) < 0.5 * width(figure)
    patient = find.row(analysis, "fedavg", "ten", unit="patient")
    assert (patient.cases, patient.patients, patient.auc_binned) == (60, 60, None)
    for name, figure in once.figures.items():
        assert dump(patient.figures[name]) == pytest.approx(dump(figure), rel=1e-9), name
    a, b = (find.difference(analysis, "other", at) for at in ("once", "ten"))
    assert (a.difference.mean, a.difference.low, a.p) == pytest.approx(
        (b.difference.mean, b.difference.low, b.p), rel=1e-9
    )
    assert "Obuchowski 1997" in b.method
    a, b = (find.difference(analysis, "other", at, "accuracy") for at in ("once", "ten"))
    assert (a.difference.mean, a.p) == pytest.approx((b.difference.mean, b.p), rel=1e-9)
    assert (a.method, b.method) == ("McNemar, exact", "sign flips over patients, exact")
    low, high = known(b.difference.low), known(b.difference.high)
    assert low < known(b.difference.mean) < high
    assert b.difference.low == pytest.approx(a.difference.low, abs=0.02)
