"""The page without an analysis, and the sections that need none: costs, sites, environment."""

import pytest
from helpers.read_page import Page, page_of
from helpers.small_results import fair_results

from ucadi_flwr.results.experiment import Fold, Results


@pytest.fixture(scope="module")
def page(results: Results) -> Page:
    return Page(page_of(results))


def test_without_an_analysis_no_measure_is_shown(results: Results, page: Page) -> None:
    assert any(model.test for cell in results.cells for model in cell.models)
    assert "No model was tested." in page.text
    assert not any(
        word in page.text for word in ("AUC", "ensitivity", "Decisions", "Calibration", "ROC")
    )
    assert [caption.split(".")[0] for caption in page.captions] == ["Table 1", "Table 2", "Table 3"]


def test_nothing_finished(results: Results) -> None:
    failed = [cell for cell in results.cells if cell.error is not None]
    page = Page(page_of(results.model_copy(update={"cells": failed})))
    assert "svg" not in page.tags
    for part in (
        "No model was tested.",
        "No finished run has a known training loss.",
        "No run finished.",
        "1 of 1 runs failed.",
        "fedprox, seed 0, after 4 rounds: round 8: 1 sites answered and min-sites is 2",
        "Task ct-task task-digest",
    ):
        assert part in page.text
    assert page.table("Cases by site")


def test_costs(page: Page) -> None:
    groups, names, *rows = page.table("Costs of one run")
    assert groups[4:6] == ["Seconds per round", "MB per site and round"]
    assert names == ["train", "protect", "add", "rest", "all", "up", "down"]
    assert rows == [
        ["local", "2", "1,234,567", "0", *["–"] * 5, "0.00", "0.00", "0.0", "5.0"],
        [
            *("central", "1", "1,234,567", "1", "1.0", "0.5", "0.1", "0.4", "2.0"),
            *("0.33", "0.67", "0.0", "8.0"),
        ],
        [
            *("fedavg", "2", "1,234,567", "2.5", "0.8", "0.4", "0.1", "1.8", "3.0"),
            *("0.38", "0.77", "69.0", "15.0"),
        ],
    ]
    assert "including those that failed, took 50 s" in page.text  # 4 + 6 + 8 + 10 + 20 + 2.5
    assert "to pool" not in page.text


def test_the_size_of_the_pooled_images(results: Results) -> None:
    sites = {
        name: site.model_copy(update={"train_bytes": 10**6}) for name, site in results.sites.items()
    }
    text = Page(page_of(results.model_copy(update={"sites": sites}))).text
    assert "to pool the training images, files of 24.0 Mbit must be sent." in text


def test_participation_and_cases(page: Page) -> None:
    assert page.table("left out of rounds")[1:] == [
        ["fedavg", "0", "c", "2", "no answer within 600 s"],
        ["fedprox", "0", "a", "1–3, 7", "no answer within 600 s"],
    ]
    cases = page.table("Cases by site")
    assert cases[0] == ["Site", "Part", "healthy", "covid", "All"]
    assert cases[1:3] == [["a", "train", "1", "2", "3"], ["validation", "0", "0", "0"]]
    assert cases[-3:] == [
        ["all sites", "train", "6", "12", "18"],
        ["validation", "0", "0", "0"],
        ["test", "6", "12", "18"],
    ]


def test_every_site_took_part() -> None:
    text = Page(page_of(fair_results(["fedavg"], ["a", "b"]))).text
    assert "No site was left out of any round." in text
    assert "failed" not in text


def test_runs_that_failed_come_before_the_figures(page: Page) -> None:
    text = page.text
    failed = "fedprox, seed 0, after 4 rounds: round 8: 1 sites answered and min-sites is 2"
    assert "1 of 6 runs failed" in text
    assert text.index("No model was tested.") < text.index(failed) < text.index("Figure 1.")


def test_provenance(page: Page) -> None:
    text = page.text
    for part in (
        "Task ct-task task-digest",
        "Strategy fedavg fedavg-digest",
        "Strategy fedprox fedprox-digest",
        "Command python run_sim.py --task ct",
        "Created 2025-01-02T03:04:05Z",
        "python 3.11.9",
    ):
        assert text.count(part) == 1


def test_results_of_a_phantom_are_marked(results: Results, page: Page) -> None:
    claim = "say nothing about any disease"
    phantom = results.task.model_copy(update={"phantom": True})
    assert claim not in page.text
    assert claim in Page(page_of(results.model_copy(update={"task": phantom}))).text


def test_held_out_sites_are_named(results: Results, page: Page) -> None:
    assert "eld out" not in page.text
    text = Page(page_of(results.model_copy(update={"held_out": ["b", "c"]}))).text
    assert "Held out (used for tests, never for training): b, c." in text
    assert "Cases by site, part and class; held out: b, c." in text


def test_folds() -> None:
    results = fair_results(["fedavg"], ["a"])
    assert "Cross-validation" not in Page(page_of(results)).text
    folds = [
        Fold(fold=number, trained_at=site, validation={}, score=score, chosen=chosen)
        for number, site, score, chosen in [
            (1, "all", 0.7, False),
            (2, "all", 0.9, True),
            (2, "a", 0.5, True),
        ]
    ]
    cell = results.cells[0].model_copy(update={"folds": folds})
    page = Page(page_of(results.model_copy(update={"cells": [cell]})))
    assert page.table("model of each fold") == [
        ["Strategy", "Seed", "Trained at", "Fold 1", "Fold 2", "Mean ± SD"],
        ["fedavg", "0", "all sites", ".700", ".900 ✓", ".800 ± .141"],
        ["fedavg", "0", "a", "–", ".500 ✓", ".500"],
    ]


def test_seeds_are_named_in_order() -> None:
    text = Page(page_of(fair_results(["fedavg"], ["a"], seeds=(8, 1)))).text
    assert "1 strategy (fedavg) with 2 seeds (1, 8) at 1 site: 2 of 2 runs finished." in text


def test_ids_are_unique_and_links_lead_to_sections(page: Page) -> None:
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(set(ids)) == len(ids)
    assert page.tags.count("h1") == 1
    assert page.tags.count("caption") == page.tags.count("table") == 3
    assert page.tags.count("figcaption") == page.tags.count("svg") == 1
    scopes = [value for tag, name, value in page.attributes if (tag, name) == ("th", "scope")]
    assert len(scopes) == page.tags.count("th")
    links = [value for tag, name, value in page.attributes if (tag, name) == ("a", "href")]
    assert [link.removeprefix("#") for link in links] == [
        value for tag, name, value in page.attributes if (tag, name) == ("section", "id")
    ]
