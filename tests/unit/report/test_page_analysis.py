"""The page with an analysis: intervals, comparisons and readers, in order of importance."""

from dataclasses import replace

import pytest
from helpers.read_page import Page, page_of
from helpers.small_analysis import a_test, analysis_of, estimate
from helpers.small_results import fair_results

from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.results.analysis import Analysis, Estimate
from ucadi_flwr.results.experiment import Results


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_the_summary_has_means_intervals_and_marks(page: Page) -> None:
    assert page.tables[0] == [
        [
            *("Strategy", "Seeds", "all sites 100 cases 40 positive"),
            *("a 60 cases 40 positive", "b 40 cases 40 positive"),
        ],
        [
            *("local each site’s own model", "2", "▼ .880 ± .010 (.830–.930)"),
            *(".880 ± .010 (.830–.930)", "–"),
        ],
        ["fedavg reference", "2", ".900 ± .010 (.850–.950)", ".900 ± .010 (.850–.950)", "–"],
        ["ucadi", "2", ".890 ± .010 (.840–.940)", "▲ .890 ± .010 (.840–.940)", "–"],
    ]


def test_sections_are_in_order_of_importance(page: Page) -> None:
    places = [
        page.text.index(words)
        for words in (
            "Table 1. AUC for covid",
            "local compared with fedavg on all 100 cases: difference in AUC −.050",
            "ucadi compared with fedavg on all 100 cases: difference in AUC +.001",
            "site b has only positive cases",
            "Figure 1. Differences in AUC",
            "Figure 2. Differences in accuracy",
            "Figure 3. ROC curves",
            "Figure 4. AUC of every model",
            "Figure 5. Training loss",
            "Decisions for covid",
            "Figure 6. Reliability",
            "In a real federation, sites send",
            "Readers and the decisions of the models",
            "Costs of one run",
            "Cases by site",
            "first strategy minus second strategy",
            "Created",
        )
    ]
    assert places == sorted(places)


def test_tables_and_figures_are_numbered_as_they_come(page: Page) -> None:
    numbers = [int(caption.split(".")[0].removeprefix("Table ")) for caption in page.captions]
    assert numbers == list(range(1, len(numbers) + 1))


def test_the_cross_site_table_has_the_intervals(page: Page) -> None:
    assert page.table("The same AUCs")[1:] == [
        ["local: a", ".870 ± .010 † (.820–.920)", "–"],
        ["local: b", ".860 ± .010 (.810–.910)", "– †"],
        ["fedavg", ".900 ± .010 (.850–.950)", "–"],
        ["ucadi", ".890 ± .010 (.840–.940)", "–"],
    ]


def test_decisions_are_shown_per_scan_and_per_patient(page: Page) -> None:
    head, group, local, fedavg, patients, *_ = page.table("Decisions for covid")
    assert head == [
        *("Strategy", "Sensitivity", "Specificity", "Precision", "FPR", "F1", "Accuracy")
    ]
    assert group == ["all sites 100 cases of 90 patients, 40 positive"]
    measures = [".110", ".220", ".330", ".440", ".550", ".660"]
    assert local == ["local per scan", *measures]
    assert fedavg == ["fedavg per scan", *measures]
    assert patients == ["fedavg per patient", *measures]


def test_confusion_is_by_true_class_and_test_set(page: Page) -> None:
    sets, names, *rows = page.table("Cases by true class")
    assert sets == ["Strategy", "True class", "all sites", "a", "b"]
    assert names == ["healthy", "covid"] * 3
    assert rows[:2] == [
        ["local", "healthy", *("50", "10") * 3],
        ["covid", *("5", "35") * 3],
    ]
    assert "With two classes, both have the same AUC" in page.text


def test_more_classes_have_their_aucs(fair: Results) -> None:
    classes = ["healthy", "mild", "covid"]
    task = fair.task.model_copy(update={"classes": classes})
    each = {name: Estimate(mean=0.5 + 0.1 * i) for i, name in enumerate(classes)}
    tests = [
        a_test("fedavg", ALL_SITES, "a", auc_by_class=each),
        a_test("fedavg", ALL_SITES, "b"),
    ]
    page = Page(page_of(fair.model_copy(update={"task": task}), analysis_of(tests)))
    assert page.table("AUC of each class") == [
        ["Strategy", *classes],
        ["a 100 cases"],
        ["fedavg", ".500", ".600", ".700"],
        ["b 100 cases"],
        ["fedavg", ".900 ± .010 (.850–.950)", "–", ".900 ± .010 (.850–.950)"],
    ]


def test_calibration_and_binned_auc(page: Page) -> None:
    calibration = page.table("Expected calibration error")
    assert calibration[1:3] == [["ECE"], ["local", *[".770"] * 3]]
    assert calibration[5:7] == [["Brier score"], ["local", *[".880"] * 3]]
    assert page.table("In a real federation")[2] == [
        *("fedavg", "all sites", ".90000", ".89900", "−.00100", "−.00100")
    ]


def test_readers_with_their_ties(page: Page) -> None:
    assert page.table("Readers and the decisions") == [
        ["Reader or model", "Cases", "Sensitivity", "Specificity", "Ties (cases to discuss)"],
        ["fedavg, seed 0 model", "", ".875 (.800–.930)", ".750 (.600–.860)", ""],
        ["ucadi, seed 0 model", "", ".875 (.800–.930)", ".750 (.600–.860)", ""],
        ["A", "100", ".800 (.700–.900)", ".900", ""],
        ["B", "100", ".700", "–", ""],
        ["majority", "98", ".850", ".950", "2: case-3, case-7"],
    ]
    assert page.table("correct decisions") == [
        ["Reader", "fedavg", "ucadi"],
        ["A", ".030 .060", "–"],
        ["B", "–", "–"],
        ["majority", ".40 1", ".40 1"],
    ]


def test_every_difference_is_listed(page: Page) -> None:
    assert page.table("All differences") == [
        ["Strategies", "Tested at", "Difference", "95 % interval", "p", "Corrected p"],
        ["AUC, per scan: DeLong"],
        ["local − fedavg", "all sites", "−.050", "−.070 to −.030", "< .001", "< .001"],
        ["ucadi − fedavg", "all sites", "+.001", "−.004 to .006", ".71", "1"],
        ["local − ucadi", "a", "−.030", "−.050 to −.010", ".002", ".010"],
        ["ucadi − fedavg", "a", "+.020", ".010 to .030", ".001", ".004"],
        ["AUC, per patient: DeLong"],
        ["ucadi − fedavg", "all sites", ".000", "–", "–", "–"],
        ["Accuracy, per scan: sign flips"],
        ["local − fedavg", "all sites", "−.020 ± .004", "−.050 to .010", ".20", ".40"],
    ]


def test_signs_are_explained_where_they_are_used(page: Page) -> None:
    one = a_test("fedavg", ALL_SITES, "a", estimate(0.9), seeds=[0])
    plain = Page(page_of(fair_results(["fedavg"], ["a"]), analysis_of([one]))).text
    for sign in ("± Sample standard", "▲ ▼ Shown", "own model Each case", "– Not defined"):
        assert sign in page.text
        assert sign not in plain
    assert "‡ Held out" not in page.text
    held_out = analysis_of([one.model_copy(update={"held_out": True})])
    text = Page(page_of(fair_results(["fedavg"], ["a"]), held_out)).text
    assert "‡ Held out" in text
    assert ".900 ‡" in text


def test_failed_runs_are_listed_once(results: Results) -> None:
    warnings = ["fedprox, seed 0 failed and is in no result: x", "fedavg, seed 0 is imprecise"]
    analysis = analysis_of([a_test("fedavg", ALL_SITES, "a")], warnings=warnings)
    page = Page(page_of(results, analysis))
    assert "failed and is in no result" not in page.text
    assert "fedavg, seed 0 is imprecise" in page.text
    assert page.text.index("Table 1.") < page.text.index("1 of 6 runs failed")
    assert page.tables[0][1:] == [
        ["local", "2", "not tested"],
        ["central", "1", "not tested"],
        ["fedavg reference", "2", ".900 ± .010 (.850–.950)"],
        ["fedprox", "0 of 1", "no run finished"],
    ]
    assert "local was not compared with fedavg on the 100 cases of a." in page.text


def test_many_sites_continue_in_further_tables() -> None:
    sites = [f"s{i:02d}" for i in range(7)]
    tests = [a_test("fedavg", ALL_SITES, site, curves=False) for site in (*sites, ALL_SITES)]
    page = Page(page_of(fair_results(["fedavg"], sites), analysis_of(tests)))
    heads = [
        [cell.split()[0] for cell in table[0]]
        for caption, table in zip(page.captions, page.tables, strict=True)
        if "AUC for covid" in caption
    ]
    assert heads == [["Strategy", "Seeds", "all", *sites[:4]], ["Strategy", "Seeds", *sites[4:]]]
    assert "The confusion matrices of the individual sites are in analysis.json." in page.text
    assert page.table("Cases by true class")[0][2:] == ["all sites"]


def without_values(analysis: Analysis) -> Analysis:
    """The same tests, with None or nothing wherever that is allowed."""
    none: dict[str, object] = {
        "auc_by_class": {},
        "auc_binned": None,
        "confusion": [],
        "roc": None,
        "calibration": [],
    }
    tested = [
        test.model_copy(
            update={
                "figures": {name: Estimate(mean=None) for name in test.figures},
                **none,
            }
        )
        for test in analysis.tested
    ]
    return analysis.model_copy(update={"tested": tested})


def test_a_page_of_undefined_values(fair: Results, analysis: Analysis) -> None:
    none = Estimate(mean=None)
    empty = without_values(analysis).model_copy(
        update={
            "differences": [
                d.model_copy(update={"difference": none, "p": None, "p_holm": None})
                for d in analysis.differences
            ],
            "readers": [
                study.model_copy(
                    update={
                        "model_sensitivity": none,
                        "model_specificity": none,
                        "readers": [
                            r.model_copy(update={"sensitivity": none, "p": None, "p_holm": None})
                            for r in study.readers
                        ],
                    }
                )
                for study in analysis.readers
            ],
        }
    )
    silent = [
        cell.model_copy(update={"rounds": [replace(r, loss=None) for r in cell.rounds]})
        for cell in fair.cells
    ]
    page = Page(page_of(fair.model_copy(update={"cells": silent}), empty))
    assert page.tables[0][2] == ["fedavg reference", "2", "–", "–", "–"]
    assert not {"None", "nan"} & set(page.words)
    assert "the difference in AUC is not defined" in page.text
    assert page.tags.count("svg") == 1  # the heat map, of no value
    assert "No finished run has a known training loss." in page.text
