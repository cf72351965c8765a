"""The page: what a reader sees, and that it stands by itself."""

import os
import re
import subprocess
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest

from ucadi_flwr.report.page import number, render, write_report
from ucadi_flwr.report.results import Failure, Results, write_results

Make = Callable[..., Results]
HOSTILE = "<script>alert('x')</script>"
VOID = {"meta", "path", "use"}


class Page(HTMLParser):
    """Tags, attributes, words and tables of a page; a tag that is closed wrongly is an error."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.tables: list[list[list[str]]] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)
        if tag == "table":
            self.tables.append([])
        elif tag == "tr":
            self.tables[-1].append([])
        elif tag in ("th", "td"):
            self.tables[-1][-1].append("")

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" in self.open:
            return
        self.words += data.split()
        if {"th", "td"} & set(self.open):
            row = self.tables[-1][-1]
            row[-1] = " ".join([*row[-1].split(), *data.split()])

    @property
    def text(self) -> str:
        return " ".join(self.words)


@pytest.fixture(scope="module")
def html(results: Results) -> str:
    return render(results)


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


def test_the_summary_shows_every_model(page: Page) -> None:
    table = page.tables[0]
    assert table == [
        ["Model", "Seeds", "Mean over sites", "a n = 10–12", "b n = 4", "c n = 20"],
        ["local: a", "2", "0.750 ± 0.000", "0.850 ± 0.071 †", "–", "0.650 ± 0.071"],
        ["local: c", "2", "0.725 1 of 2 seeds", "0.500 1 of 2 seeds", "–", "0.950 1 of 2 seeds †"],
        ["central", "1", "not tested", "not tested", "not tested", "not tested"],
        ["fedavg", "2", "0.800 1 of 2 seeds", "0.900 ± 0.071", "–", "0.750 1 of 2 seeds"],
        ["fedprox", "0 of 1", "no run finished"],
    ]


def test_decisions_come_in_three_groups(page: Page) -> None:
    table = page.tables[1]
    rows = {}
    group = ""
    for row in table:
        group = row[0] if len(row) == 1 else group
        rows[group, row[0]] = row[1:]
    assert rows["Sensitivity", "local: a"] == [
        *("2", "0.750 ± 0.047", "0.850 ± 0.071 †", "0.750 ± 0.000", "0.650 ± 0.071")
    ]
    assert rows["Specificity", "local: a"] == [
        *("2", "0.675 ± 0.035", "0.700 ± 0.000 †", "–", "0.650 ± 0.071")
    ]
    assert rows["Accuracy", "fedavg"][2] == "0.900 ± 0.071"


def test_costs_participation_and_cases(page: Page) -> None:
    costs, participation, cases = page.tables[2:]
    assert costs[1:] == [
        ["local", "2", "1,234,567", "0", "0.0", "0.0", "5.0", "–"],
        ["central", "1", "1,234,567", "1", "1.0", "2.0", "8.0", "2.0"],
        ["fedavg", "2", "1,234,567", "2.5", "2.9", "5.8", "15.0", "3.0"],
    ]
    assert participation[1:] == [
        ["fedavg", "0", "c", "2", "no answer within 600 s"],
        ["fedprox", "0", "a", "1–3, 7", "no answer within 600 s"],
    ]
    assert cases[0] == ["Site", "Part", "healthy", "covid", "All"]
    assert cases[1:3] == [["a", "train", "1", "2", "3"], ["validation", "0", "0", "0"]]
    assert cases[-3:] == [
        ["all sites", "train", "6", "12", "18"],
        ["validation", "0", "0", "0"],
        ["test", "6", "12", "18"],
    ]


def test_runs_that_failed_stand_above_the_figures(page: Page) -> None:
    text = page.text
    failed = "fedprox, seed 0, after 4 rounds: round 8: 1 sites answered and min-sites is 2"
    assert "1 of 6 runs failed" in text
    assert text.index(failed) < text.index("Table 1.")
    assert "those that failed too, took 50 s" in text  # 4 + 6 + 8 + 10 + 20 + 2.5 = 50.5, to even


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


def test_a_phantom_is_called_one(results: Results, page: Page) -> None:
    claim = "say nothing about any disease"
    phantom = results.task.model_copy(update={"phantom": True})
    assert claim not in page.text
    assert claim in Page(render(results.model_copy(update={"task": phantom}))).text


def test_signs_are_explained_where_they_are_used(page: Page, make: Make) -> None:
    full, plain = page.text, Page(render(make(["fedavg"], ["a", "b"]))).text
    for sign in ("± Sample standard deviation", "† Tested at", "– Not defined", "A frame marks"):
        assert sign in full
        assert sign not in plain
    assert "No site was left out of any round." in plain
    assert "failed" not in plain


def test_one_seed_shows_the_value_alone(make: Make) -> None:
    assert Page(render(make(["fedavg"], ["a", "b"]))).tables[0][1] == [
        *("fedavg", "1", "0.875", "0.875", "0.875")
    ]


def test_seeds_are_named_in_order(make: Make) -> None:
    results = make(["fedavg"], ["a"])
    cells = [results.cells[0].model_copy(update={"seed": seed}) for seed in (8, 1)]
    text = Page(render(results.model_copy(update={"cells": cells}))).text
    assert "1 strategy (fedavg) with 2 seeds (1, 8) at 1 site: 2 of 2 runs finished." in text


def test_many_sites_continue_in_further_tables(make: Make) -> None:
    sites = [f"s{i:02d}" for i in range(12)]
    tables = Page(render(make(["fedavg"], sites))).tables
    heads = [[cell.split()[0] for cell in table[0][2:]] for table in tables[:3]]
    assert heads == [["Mean", *sites[:5]], sites[5:10], sites[10:]]
    assert [len(table[1]) for table in tables[:3]] == [8, 7, 4]


def test_nothing_finished(results: Results) -> None:
    failed = [cell for cell in results.cells if cell.error is not None]
    page = Page(render(results.model_copy(update={"cells": failed})))
    assert "svg" not in page.tags
    for part in ("No model was tested.", "No run finished a round of training.", "1 of 1 runs"):
        assert part in page.text


def hostile(results: Results) -> Results:
    """Results in which every text is a script."""
    cell = results.cells[3]
    rounds = [
        cell.rounds[0].model_copy(update={"failures": [Failure(site=HOSTILE, reason=HOSTILE)]})
    ]
    ref = cell.strategy.model_copy(update={"name": HOSTILE, "digest": HOSTILE})
    test = {HOSTILE: cell.models[0].test["a"]}
    model = cell.models[0].model_copy(update={"trained_at": HOSTILE, "test": test})
    bad = cell.model_copy(update={"strategy": ref, "rounds": rounds, "models": [model]})
    return results.model_copy(
        update={
            "created": HOSTILE,
            "command": HOSTILE,
            "task": results.task.model_copy(
                update={
                    "name": HOSTILE,
                    "digest": HOSTILE,
                    "summary": HOSTILE,
                    "classes": [HOSTILE],
                    "positive_class": HOSTILE,
                }
            ),
            "sites": {HOSTILE: results.sites["a"]},
            "environment": {HOSTILE: HOSTILE},
            "cells": [bad, bad.model_copy(update={"seed": 1, "error": HOSTILE})],
        }
    )


def test_text_stays_text(results: Results) -> None:
    html = render(hostile(results))
    page = Page(html)
    assert "<script" not in html.lower()
    assert HOSTILE in page.tables[0][1][0]
    reasons = [row[-1] for row in page.tables[3][1:]]
    assert reasons == [HOSTILE, HOSTILE]
    assert f"after 1 round: {HOSTILE}" in page.text


@pytest.mark.parametrize("change", [lambda results: results, hostile])
def test_the_page_stands_by_itself(results: Results, change: Callable[[Results], Results]) -> None:
    html = render(change(results))
    page = Page(html)
    assert not set(page.tags) & {"script", "link", "img", "iframe", "object", "embed", "base"}
    assert not re.search(r"https?:|//|@import|url\(|data:", html)
    for tag, name, value in page.attributes:
        assert not name.startswith("on")
        assert name not in ("src", "srcset", "action")
        assert name != "href" or (tag == "use" and value.startswith("#"))
    assert ("meta", "content", "default-src 'none'; style-src 'unsafe-inline'") in page.attributes


def test_ids_are_unique_and_structure_is_named(page: Page) -> None:
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(set(ids)) == len(ids)
    assert page.tags.count("h1") == 1
    assert page.tags.count("caption") == page.tags.count("table") == 5
    assert page.tags.count("figcaption") == page.tags.count("svg") == 2
    scopes = [value for tag, name, value in page.attributes if (tag, name) == ("th", "scope")]
    assert len(scopes) == page.tags.count("th")


def test_the_same_results_give_the_same_bytes(results: Results, html: str, tmp_path: Path) -> None:
    write_results(tmp_path / "results.json", results)
    code = (
        "import sys; from pathlib import Path; from ucadi_flwr.report.page import write_report; "
        "from ucadi_flwr.report.results import read_results; "
        "write_report(read_results(Path(sys.argv[1])), Path(sys.argv[2]))"
    )
    again = tmp_path / "again.html"
    subprocess.run(
        [sys.executable, "-c", code, tmp_path / "results.json", again],
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    assert again.read_bytes() == html.encode()


def test_a_page_is_replaced_whole_or_not_at_all(
    results: Results, html: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "report.html"
    path.write_text("the old page")

    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[:10])
        raise OSError("no space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OSError, match="no space"):
            write_report(results, path)
    assert path.read_text() == "the old page"
    write_report(results, path)
    assert path.read_text(encoding="utf-8") == html
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("value", "decimals", "text"),
    [(12345.67, 1, "12,345.7"), (0.99951, 3, "1.000"), (1234, 0, "1,234")],
)
def test_numbers(value: float, decimals: int, text: str) -> None:
    assert number(value, decimals) == text
