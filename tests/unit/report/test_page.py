"""The page without an analysis: what the results alone say."""

from collections.abc import Callable
from typing import Any

import pytest

from ucadi_flwr.report.page import render
from ucadi_flwr.results.experiment import Fold, Results

Make = Callable[..., Results]
Read = Callable[[str], Any]


@pytest.fixture(scope="module")
def page(results: Results, read: Read) -> Any:
    return read(render(results))


def test_the_summary_shows_every_model(page: Any) -> None:
    assert page.table("AUC on each site’s own test cases") == [
        ["Model", "Seeds", "Mean over sites", "a n = 10–12", "b n = 4", "c n = 20"],
        ["local: a", "2", ".750 ± .000", ".850 ± .071 †", "–", ".650 ± .071"],
        ["local: c", "2", ".725 1 of 2 seeds", ".500 1 of 2 seeds", "–", ".950 1 of 2 seeds †"],
        ["central", "1", "not tested", "not tested", "not tested", "not tested"],
        ["fedavg", "2", ".800 1 of 2 seeds", ".900 ± .071", "–", ".750 1 of 2 seeds"],
        ["fedprox", "0 of 1", "no run finished"],
    ]
    assert "these figures have no intervals" in page.text


def test_decisions_come_in_three_groups(page: Any) -> None:
    rows = {}
    group = ""
    for row in page.table("Sensitivity and specificity"):
        group = row[0] if len(row) == 1 else group
        rows[group, row[0]] = row[1:]
    assert rows["Sensitivity", "local: a"] == [
        *("2", ".750 ± .047", ".850 ± .071 †", ".750 ± .000", ".650 ± .071")
    ]
    assert rows["Specificity", "local: a"] == [
        *("2", ".675 ± .035", ".700 ± .000 †", "–", ".650 ± .071")
    ]
    assert rows["Accuracy", "fedavg"][2] == ".900 ± .071"


def test_costs(page: Any) -> None:
    groups, names, *rows = page.table("One run")
    assert groups[4:6] == ["Seconds a round", "MB a site and round"]
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
    assert "those that failed too, took 50 s" in page.text  # 4 + 6 + 8 + 10 + 20 + 2.5, to even
    assert "pooling" not in page.text


def test_what_pooling_would_move(results: Results, read: Read) -> None:
    sites = {
        name: site.model_copy(update={"train_bytes": 10**6}) for name, site in results.sites.items()
    }
    text = read(render(results.model_copy(update={"sites": sites}))).text
    assert "pooling the training images, as files, moves 24.0 Mbit." in text


def test_participation_and_cases(page: Any) -> None:
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


def test_runs_that_failed_stand_above_the_figures(page: Any) -> None:
    text = page.text
    failed = "fedprox, seed 0, after 4 rounds: round 8: 1 sites answered and min-sites is 2"
    assert "1 of 6 runs failed" in text
    assert text.index("Table 1.") < text.index(failed) < text.index("Figure 1.")


def test_provenance(page: Any) -> None:
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


def test_a_phantom_is_called_one(results: Results, page: Any, read: Read) -> None:
    claim = "say nothing about any disease"
    phantom = results.task.model_copy(update={"phantom": True})
    assert claim not in page.text
    assert claim in read(render(results.model_copy(update={"task": phantom}))).text


def test_sites_that_never_trained_are_named(results: Results, page: Any, read: Read) -> None:
    assert "eld out" not in page.text
    text = read(render(results.model_copy(update={"held_out": ["b", "c"]}))).text
    assert "Held out, tested there and never trained: b, c." in text
    assert "Cases by site, part and class; b, c held out." in text


def test_folds(make: Make, read: Read) -> None:
    results = make(["fedavg"], ["a"])
    assert "Cross-validation" not in read(render(results)).text
    folds = [
        Fold(fold=number, trained_at=site, validation={}, score=score, chosen=chosen)
        for number, site, score, chosen in [
            (1, "all", 0.7, False),
            (2, "all", 0.9, True),
            (2, "a", 0.5, True),
        ]
    ]
    cell = results.cells[0].model_copy(update={"folds": folds})
    page = read(render(results.model_copy(update={"cells": [cell]})))
    assert page.table("Score of each fold") == [
        ["Strategy", "Seed", "Trained at", "Fold 1", "Fold 2", "Mean ± SD"],
        ["fedavg", "0", "all sites", ".700", ".900 ✓", ".800 ± .141"],
        ["fedavg", "0", "a", "–", ".500 ✓", ".500"],
    ]


def test_signs_are_explained_where_they_are_used(page: Any, make: Make, read: Read) -> None:
    full, plain = page.text, read(render(make(["fedavg"], ["a", "b"]))).text
    for sign in ("± Sample standard deviation", "† Tested at", "– Not defined", "A frame marks"):
        assert sign in full
        assert sign not in plain
    assert "No site was left out of any round." in plain
    assert "failed" not in plain


def test_one_seed_shows_the_value_alone(make: Make, read: Read) -> None:
    assert read(render(make(["fedavg"], ["a", "b"]))).tables[0][1] == [
        *("fedavg", "1", ".875", ".875", ".875")
    ]


def test_seeds_are_named_in_order(make: Make, read: Read) -> None:
    text = read(render(make(["fedavg"], ["a"], seeds=(8, 1)))).text
    assert "1 strategy (fedavg) with 2 seeds (1, 8) at 1 site: 2 of 2 runs finished." in text


def test_many_sites_continue_in_further_tables(make: Make, read: Read) -> None:
    sites = [f"s{i:02d}" for i in range(12)]
    tables = read(render(make(["fedavg"], sites))).tables
    heads = [[cell.split()[0] for cell in table[0][2:]] for table in tables[:3]]
    assert heads == [["Mean", *sites[:5]], sites[5:10], sites[10:]]
    assert [len(table[1]) for table in tables[:3]] == [8, 7, 4]


def test_nothing_finished(results: Results, read: Read) -> None:
    failed = [cell for cell in results.cells if cell.error is not None]
    page = read(render(results.model_copy(update={"cells": failed})))
    assert "svg" not in page.tags
    for part in (
        "No model was tested.",
        "No run finished a round of training",
        "No run finished.",
        "1 of 1 runs",
    ):
        assert part in page.text
    assert not any(word in page.text for word in ("Decisions", "Calibration", "ROC"))


def test_ids_are_unique_and_structure_is_named(page: Any) -> None:
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(set(ids)) == len(ids)
    assert page.tags.count("h1") == 1
    assert page.tags.count("caption") == page.tags.count("table") == 5
    assert page.tags.count("figcaption") == page.tags.count("svg") == 2
    scopes = [value for tag, name, value in page.attributes if (tag, name) == ("th", "scope")]
    assert len(scopes) == page.tags.count("th")
    links = [value for tag, name, value in page.attributes if (tag, name) == ("a", "href")]
    assert [link.removeprefix("#") for link in links] == [
        value for tag, name, value in page.attributes if (tag, name) == ("section", "id")
    ]
