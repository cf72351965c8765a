"""Parts of an analysis, and a small analysis whose tables were computed by hand."""

from typing import Literal

from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.results.analysis import (
    OWN,
    Analysis,
    CalibrationBin,
    Difference,
    Estimate,
    ReaderMeasures,
    ReaderStudy,
    Roc,
    Tested,
    Unit,
)


def estimate(
    mean: float | None, low: float | None = None, high: float | None = None, sd: float | None = None
) -> Estimate:
    return Estimate(mean=mean, low=low, high=high, sd=sd)


def a_test(
    strategy: str,
    trained_at: str,
    tested_at: str,
    auc: Estimate | None = None,
    *,
    unit: Unit = "scan",
    cases: int = 100,
    patients: int = 100,
    curves: bool = True,
    **more: object,
) -> Tested:
    """Every other measure has its own value: .11 sensitivity … .88 Brier."""
    names = ["sensitivity", "specificity", "precision", "fpr", "f1", "accuracy", "ece", "brier"]
    figures = {name: estimate(0.11 * (i + 1)) for i, name in enumerate(names)}
    auc = estimate(0.9, 0.85, 0.95, 0.01) if auc is None else auc
    both = curves and auc.mean is not None
    return Tested.model_validate(
        {
            "strategy": strategy,
            "trained_at": trained_at,
            "tested_at": tested_at,
            "unit": unit,
            "cases": cases,
            "patients": patients,
            "positives": 40,
            "seeds": [0, 1],
            "figures": {"auc": auc, **figures},
            "auc_by_class": {"healthy": auc, "covid": auc},
            "auc_binned": None if auc.mean is None else auc.mean - 0.001,
            "confusion": [[50, 10], [5, 35]],
            "roc": Roc(fpr=[0, 0.5, 1], tpr=[0, 0.8, 1], low=[0, 0.7, 1], high=[0, 0.9, 1])
            if both
            else None,
            "calibration": [
                CalibrationBin(score=0.25, fraction=0.2, cases=60),
                CalibrationBin(score=0.5, fraction=0.5, cases=0),
                CalibrationBin(score=0.75, fraction=0.9, cases=40),
            ]
            if curves
            else [],
            **more,
        }
    )


def a_difference(
    a: str,
    b: str,
    tested_at: str,
    estimate: Estimate,
    p: float | None = None,
    p_holm: float | None = None,
    *,
    unit: Unit = "scan",
    measure: Literal["auc", "accuracy"] = "auc",
    method: str = "DeLong",
) -> Difference:
    return Difference(
        a=a,
        b=b,
        tested_at=tested_at,
        unit=unit,
        measure=measure,
        difference=estimate,
        p=p,
        p_holm=p_holm,
        method=method,
    )


def a_study(strategy: str, p: float | None = 0.03) -> ReaderStudy:
    """Two readers and their majority; reader B has no specificity."""
    return ReaderStudy(
        strategy=strategy,
        seed=0,
        model_sensitivity=estimate(0.875, 0.8, 0.93),
        model_specificity=estimate(0.75, 0.6, 0.86),
        readers=[
            ReaderMeasures(
                reader="A",
                cases=100,
                sensitivity=estimate(0.8, 0.7, 0.9),
                specificity=estimate(0.9),
                p=p,
                p_holm=None if p is None else 0.06,
            ),
            ReaderMeasures(
                reader="B", cases=100, sensitivity=estimate(0.7), specificity=estimate(None)
            ),
            ReaderMeasures(
                reader="majority",
                cases=98,
                sensitivity=estimate(0.85),
                specificity=estimate(0.95),
                ties=["case-3", "case-7"],
                p=0.4,
                p_holm=1.0,
            ),
        ],
    )


def analysis_of(tests: list[Tested], **more: object) -> Analysis:
    return Analysis.model_validate(
        {
            "reference": "fedavg",
            "positive_class": "covid",
            "tested": tests,
            "differences": [],
            **more,
        }
    )


def small_analysis() -> Analysis:
    """local (own models), fedavg and ucadi at a and b, where b has no negative case.

    On all cases local is lower and ucadi is not shown to differ; at a, ucadi is higher than both.
    """
    none = estimate(None)
    tests = []
    for place, (strategy, trained_at) in enumerate(
        [
            ("fedavg", ALL_SITES),
            ("ucadi", ALL_SITES),
            ("local", OWN),
            ("local", "a"),
            ("local", "b"),
        ]
    ):
        shift = 0.01 * place
        for site, cases in (("a", 60), ("b", 40), (ALL_SITES, 100)):
            auc = estimate(0.9 - shift, 0.85 - shift, 0.95 - shift, 0.01)
            tests.append(
                a_test(
                    strategy,
                    trained_at,
                    site,
                    none if site == "b" else auc,
                    cases=cases,
                    patients=cases - 10,
                    curves=trained_at in (ALL_SITES, OWN),
                    held_out=trained_at not in (ALL_SITES, OWN, site),
                )
            )
    tests.append(
        a_test(
            "fedavg", ALL_SITES, ALL_SITES, estimate(0.91), unit="patient", cases=90, patients=90
        )
    )
    differences = [
        a_difference("ucadi", "fedavg", "a", estimate(0.02, 0.01, 0.03), 0.001, 0.004),
        a_difference("ucadi", "fedavg", ALL_SITES, estimate(0.001, -0.004, 0.006), 0.71, 1.0),
        a_difference("local", "fedavg", ALL_SITES, estimate(-0.05, -0.07, -0.03), 0.0001, 0.0004),
        a_difference("local", "ucadi", "a", estimate(-0.03, -0.05, -0.01), 0.002, 0.01),
        a_difference(
            "local",
            "fedavg",
            ALL_SITES,
            estimate(-0.02, -0.05, 0.01, 0.004),
            0.2,
            0.4,
            measure="accuracy",
            method="sign flips",
        ),
        a_difference("ucadi", "fedavg", ALL_SITES, estimate(0.0), unit="patient"),
    ]
    return analysis_of(
        tests,
        differences=differences,
        readers=[a_study("fedavg"), a_study("ucadi", None)],
        warnings=["site b has only positive cases"],
    )
