"""The page needs no other file: no request, no script, text stays text, the same bytes."""

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from helpers.read_page import Page, page_of
from helpers.small_analysis import a_difference, a_study, a_test, analysis_of, estimate

from ucadi_flwr.report.page import render, write_report
from ucadi_flwr.results.analysis import Analysis, read_analysis, write_analysis
from ucadi_flwr.results.experiment import Fold, Results, write_results
from ucadi_flwr.results.rounds import FailureRecord

HOSTILE = "<script>alert('x')</script>"


@pytest.fixture(scope="module")
def hostile_html(results: Results) -> str:
    """The page of results and an analysis in which every text is a script."""
    return page_of(hostile(results), hostile_analysis())


def hostile(results: Results) -> Results:
    cell = results.cells[3]
    rounds = [replace(cell.rounds[0], failures=[FailureRecord(site=HOSTILE, reason=HOSTILE)])]
    ref = cell.strategy.model_copy(update={"name": HOSTILE, "digest": HOSTILE})
    test = {HOSTILE: cell.models[0].test["a"]}
    model = cell.models[0].model_copy(update={"trained_at": HOSTILE, "test": test})
    fold = Fold(fold=1, trained_at=HOSTILE, validation={}, score=0.5, chosen=True)
    bad = cell.model_copy(
        update={"strategy": ref, "rounds": rounds, "models": [model], "folds": [fold]}
    )
    return results.model_copy(
        update={
            "created": HOSTILE,
            "command": HOSTILE,
            "held_out": [HOSTILE],
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


def hostile_analysis() -> Analysis:
    study = a_study(HOSTILE)
    reader = study.readers[2].model_copy(update={"reader": HOSTILE, "ties": [HOSTILE]})
    other = HOSTILE.upper()
    analysis: Analysis = analysis_of(
        [
            a_test(HOSTILE, "all", HOSTILE, auc_by_class={HOSTILE: estimate(0.5)}),
            a_test(other, "own", HOSTILE),
            a_test(other, HOSTILE, HOSTILE),
        ],
        reference=HOSTILE,
        positive_class=HOSTILE,
        differences=[
            a_difference(other, HOSTILE, HOSTILE, estimate(0.1, 0.0, 0.2), method=HOSTILE)
        ],
        readers=[study.model_copy(update={"readers": [reader]})],
        warnings=[HOSTILE],
    )
    return analysis


def test_text_stays_text(hostile_html: str) -> None:
    page = Page(hostile_html)
    assert "<script" not in hostile_html.lower()
    assert page.tables[0][1][0] == f"{HOSTILE} reference"
    reasons = [row[-1] for row in page.table("left out of rounds")[1:]]
    assert reasons == [HOSTILE, HOSTILE]
    assert f"after 1 round: {HOSTILE}" in page.text
    sentence = (
        f"{HOSTILE.upper()} compared with {HOSTILE} on the 100 cases of {HOSTILE}: difference"
    )
    assert sentence in page.text
    assert page.table("Readers and the decisions")[2][4] == f"1: {HOSTILE}"


def test_a_page_requests_nothing(html: str, hostile_html: str, results: Results) -> None:
    for text in (html, hostile_html, page_of(results)):
        page = Page(text)
        assert not set(page.tags) & {"script", "link", "img", "iframe", "object", "embed", "base"}
        assert not re.search(r"https?:|//|@import|url\(|data:", text)
        for tag, name, value in page.attributes:
            assert not name.startswith("on")
            assert name not in ("src", "srcset", "action")
            assert name != "href" or (tag in ("use", "a") and value.startswith("#"))
        policy = ("meta", "content", "default-src 'none'; style-src 'unsafe-inline'")
        assert policy in page.attributes


def test_ids_are_unique_and_tables_have_captions(html: str) -> None:
    page = Page(html)
    ids = [value for _, name, value in page.attributes if name == "id"]
    assert len(set(ids)) == len(ids)
    assert page.tags.count("caption") == page.tags.count("table")
    assert page.tags.count("figcaption") == page.tags.count("svg") == 6
    scopes = [value for tag, name, value in page.attributes if (tag, name) == ("th", "scope")]
    assert len(scopes) == page.tags.count("th")


def test_the_same_input_gives_the_same_bytes(
    fair: Results, analysis: Analysis, html: str, tmp_path: Path
) -> None:
    write_results(tmp_path / "results.json", fair)
    write_analysis(tmp_path / "analysis.json", analysis)
    code = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[2]); "
        "from helpers.read_page import page_of; "
        "from ucadi_flwr.results.analysis import read_analysis; "
        "from ucadi_flwr.results.experiment import read_results; out = Path(sys.argv[1]); "
        "page = page_of(read_results(out / 'results.json'), read_analysis(out / 'analysis.json')); "
        "(out / 'again.html').write_text(page, encoding='utf-8')"
    )
    subprocess.run(
        [sys.executable, "-c", code, tmp_path, Path(__file__).parents[2]],
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    assert (tmp_path / "again.html").read_bytes() == html.encode()
    assert read_analysis(tmp_path / "analysis.json") == analysis


def test_a_page_is_replaced_whole_or_not_at_all(
    fair: Results, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
            write_report(path, fair, None, [])
    assert path.read_text() == "the old page"
    write_report(path, fair, None, [])
    assert path.read_text(encoding="utf-8") == render(fair, None)
    assert list(tmp_path.iterdir()) == [path]
