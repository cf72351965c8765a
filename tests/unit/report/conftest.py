"""Small results whose figures were worked out by hand; the tests say how."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from types import SimpleNamespace
from typing import Any, Literal

import pytest

from ucadi_flwr.report.analysis import (
    ALL,
    OWN,
    Analysis,
    CalibrationBin,
    Difference,
    Estimate,
    ReaderFigures,
    Readers,
    Roc,
    Tested,
    Unit,
)
from ucadi_flwr.report.comparisons import Comparison
from ucadi_flwr.report.figures.drawing import Drawing
from ucadi_flwr.report.page import render
from ucadi_flwr.report.results import (
    Cell,
    Failure,
    Figures,
    Model,
    RecipeRef,
    Results,
    Round,
    SiteData,
    SiteRound,
    TaskRef,
)

Values = tuple[float | None, float | None, float | None, float]


def figures(values: Values, n: int) -> Figures:
    auc, sensitivity, specificity, accuracy = values
    return Figures(
        n=n,
        auc=auc,
        sensitivity=sensitivity,
        specificity=specificity,
        accuracy=accuracy,
        confusion=[[n, 0], [0, 0]],
    )


def model(trained_at: str, **sites: Figures) -> Model:
    return Model(trained_at=trained_at, file="m.safetensors", sha256="0" * 64, test=sites)


def one_round(
    number: int, seconds: float, megabytes: float, failed: str = "", **losses: tuple[int, float]
) -> Round:
    """``losses``: site → (examples, loss)."""
    return Round(
        round=number,
        attempts=1,
        seconds=seconds,
        add_seconds=0.1,
        loss=sum(n * loss for n, loss in losses.values()) / sum(n for n, _ in losses.values())
        if losses
        else None,
        bytes_up=round(megabytes * 1e6),
        bytes_down=round(megabytes * 2e6),
        sites={
            site: SiteRound(
                examples=examples, epochs=1, loss=loss, seconds=1.0, protect_seconds=0.5
            )
            for site, (examples, loss) in losses.items()
        },
        failures=[Failure(site=failed, reason="no answer within 600 s")] if failed else [],
    )


def ref(name: str) -> RecipeRef:
    return RecipeRef(name=name, digest=f"{name}-digest")


def cells() -> list[Cell]:
    """Site b has one class (no AUC, no specificity); site c missed two tests."""
    b = figures((None, 0.75, None, 0.75), 4)
    return [
        Cell(
            strategy=ref("local"),
            seed=0,
            seconds=4.0,
            parameters=1234567,
            rounds=[],
            models=[
                model("a", a=figures((0.9, 0.8, 0.7, 0.6), 10), b=b, c=figures((0.6,) * 4, 20)),
                model("c", a=figures((0.5,) * 4, 10), b=b, c=figures((0.95,) * 4, 20)),
            ],
        ),
        Cell(
            strategy=ref("local"),
            seed=1,
            seconds=6.0,
            parameters=1234567,
            rounds=[],
            models=[
                model("a", a=figures((0.8, 0.9, 0.7, 0.7), 12), b=b, c=figures((0.7,) * 4, 20))
            ],
        ),
        Cell(
            strategy=ref("central"),
            seed=0,
            seconds=8.0,
            parameters=1234567,
            rounds=[one_round(1, 2.0, 1.0, all=(40, 0.7))],
            models=[],
        ),
        Cell(
            strategy=ref("fedavg"),
            seed=0,
            seconds=10.0,
            parameters=1234567,
            rounds=[
                one_round(1, 1.0, 1.25, a=(30, 1.0), c=(10, 2.0)),
                one_round(2, 2.0, 2.5, "c", a=(30, 0.5)),
            ],
            models=[model("all", a=figures((0.85,) * 4, 10), b=b, c=figures((0.75,) * 4, 20))],
        ),
        Cell(
            strategy=ref("fedavg"),
            seed=1,
            seconds=20.0,
            parameters=1234567,
            rounds=[
                one_round(1, 3.0, 1.0, a=(30, 0.6), c=(10, 1.0)),
                one_round(2, 6.0, 1.0, a=(30, 0.3), c=(10, 0.7)),
                one_round(3, 3.0, 0.0),
            ],
            models=[model("all", a=figures((0.95,) * 4, 10), b=b)],
        ),
        Cell(
            strategy=ref("fedprox"),
            seed=0,
            seconds=2.5,
            parameters=1234567,
            rounds=[one_round(n, 1.0, 1.0, "a", c=(10, 9.0)) for n in (1, 2, 3, 7)],
            models=[model("all", d=figures((0.1,) * 4, 5))],
            error="round 8: 1 sites answered and min-sites is 2",
        ),
    ]


def build(
    cells: list[Cell],
    sites: Mapping[str, int],
    *,
    phantom: bool = False,
    classes: tuple[str, str] = ("healthy", "covid"),
) -> Results:
    """``sites``: name → number of healthy cases in each part; covid cases are twice as many."""
    part = {name: dict(zip(classes, (n, 2 * n), strict=True)) for name, n in sites.items()}
    return Results(
        created="2025-01-02T03:04:05Z",
        command="python run_sim.py --task ct",
        task=TaskRef(
            name="ct-task",
            digest="task-digest",
            summary="Chest CT.",
            classes=list(classes),
            positive_class=classes[1],
            phantom=phantom,
        ),
        sites={
            name: SiteData(train=counts, validation={}, test=counts)
            for name, counts in part.items()
        },
        environment={"python": "3.11.9"},
        cells=cells,
    )


def fair_cell(name: str, sites: list[str], seed: int = 0, own: bool = False) -> Cell:
    """A run that finished: two rounds, and one model (or one a site) tested at every site."""
    losses = dict.fromkeys(sites, (10, 1.0))
    tested = {site: figures((0.875,) * 4, 8) for site in sites}
    return Cell(
        strategy=ref(name),
        seed=seed,
        seconds=1.0,
        parameters=10,
        rounds=[one_round(n, 1.0, 1.0, **losses) for n in (1, 2)],
        models=[model(trained_at, **tested) for trained_at in (sites if own else ["all"])],
    )


@pytest.fixture(scope="session")
def results() -> Results:
    """Strategies local, central (never tested), fedavg and fedprox (failed)."""
    return build(cells(), {"c": 3, "a": 1, "b": 2})


@pytest.fixture(scope="session")
def make() -> Callable[..., Results]:
    """``make(strategies, sites, own=…)``: results in which every figure is 0.875."""

    def results_of(
        strategies: list[str], sites: list[str], own: bool = False, seeds: tuple[int, ...] = (0,)
    ) -> Results:
        cells = [fair_cell(s, sites, seed, own) for s in strategies for seed in seeds]
        return build(cells, dict.fromkeys(sites, 1))

    return results_of


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
    **more: Any,
) -> Tested:
    """Every other figure has its own value: .11 sensitivity … .88 Brier."""
    names = ["sensitivity", "specificity", "precision", "fpr", "f1", "accuracy", "ece", "brier"]
    figures = {name: estimate(0.11 * (i + 1)) for i, name in enumerate(names)}
    auc = estimate(0.9, 0.85, 0.95, 0.01) if auc is None else auc
    both = curves and auc.mean is not None
    return Tested(
        **{
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


def difference(
    a: str,
    b: str,
    tested_at: str,
    found: Estimate,
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
        difference=found,
        p=p,
        p_holm=p_holm,
        method=method,
    )


def study(strategy: str, p: float | None = 0.03) -> Readers:
    """Two readers and their majority; reader B has no specificity."""
    return Readers(
        strategy=strategy,
        seed=0,
        model_sensitivity=estimate(0.875, 0.8, 0.93),
        model_specificity=estimate(0.75, 0.6, 0.86),
        readers=[
            ReaderFigures(
                reader="A",
                cases=100,
                sensitivity=estimate(0.8, 0.7, 0.9),
                specificity=estimate(0.9),
                p=p,
                p_holm=None if p is None else 0.06,
            ),
            ReaderFigures(
                reader="B", cases=100, sensitivity=estimate(0.7), specificity=estimate(None)
            ),
            ReaderFigures(
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


def analysis_of(tests: list[Tested], **more: Any) -> Analysis:
    return Analysis(
        **{
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
        [("fedavg", ALL), ("ucadi", ALL), ("local", OWN), ("local", "a"), ("local", "b")]
    ):
        shift = 0.01 * place
        for site, cases in (("a", 60), ("b", 40), (ALL, 100)):
            auc = estimate(0.9 - shift, 0.85 - shift, 0.95 - shift, 0.01)
            tests.append(
                a_test(
                    strategy,
                    trained_at,
                    site,
                    none if site == "b" else auc,
                    cases=cases,
                    patients=cases - 10,
                    curves=trained_at in (ALL, OWN),
                    held_out=trained_at not in (ALL, OWN, site),
                )
            )
    tests.append(a_test("fedavg", ALL, ALL, estimate(0.91), unit="patient", cases=90, patients=90))
    differences = [
        difference("ucadi", "fedavg", "a", estimate(0.02, 0.01, 0.03), 0.001, 0.004),
        difference("ucadi", "fedavg", ALL, estimate(0.001, -0.004, 0.006), 0.71, 1.0),
        difference("local", "fedavg", ALL, estimate(-0.05, -0.07, -0.03), 0.0001, 0.0004),
        difference("local", "ucadi", "a", estimate(-0.03, -0.05, -0.01), 0.002, 0.01),
        difference(
            "local",
            "fedavg",
            ALL,
            estimate(-0.02, -0.05, 0.01, 0.004),
            0.2,
            0.4,
            measure="accuracy",
            method="sign flips",
        ),
        difference("ucadi", "fedavg", ALL, estimate(0.0), unit="patient"),
    ]
    return analysis_of(
        tests,
        differences=differences,
        readers=[study("fedavg"), study("ucadi", None)],
        warnings=["site b has positives only"],
    )


@pytest.fixture(scope="session")
def of() -> SimpleNamespace:
    """The functions that build parts of an analysis."""
    return SimpleNamespace(
        estimate=estimate,
        tested=a_test,
        difference=difference,
        study=study,
        analysis=analysis_of,
    )


@pytest.fixture(scope="session")
def analysis() -> Analysis:
    """See :func:`small_analysis`."""
    return small_analysis()


@pytest.fixture(scope="session")
def fair(make: Callable[..., Results]) -> Results:
    """The results that :func:`analysis` is of."""
    return make(["local", "fedavg", "ucadi"], ["a", "b"], seeds=(0, 1))


@pytest.fixture(scope="session")
def html(fair: Results, analysis: Analysis) -> str:
    """The page of both."""
    return render(fair, analysis)


@pytest.fixture(scope="session")
def comparison(analysis: Analysis) -> Comparison:
    """The analysis in the order of its experiment."""
    return Comparison(analysis, ["local", "fedavg", "ucadi"])


def parse(drawing: Drawing) -> ET.Element:
    return ET.fromstring(drawing.svg())  # noqa: S314 - our own figure


def texts(svg: ET.Element) -> list[str]:
    return [element.text or "" for element in svg.iter("text")]


def rows(svg: ET.Element) -> list[list[str]]:
    """Words that stand beside each other, from top to bottom and from left to right."""
    found: dict[int, list[tuple[float, str]]] = {}
    for element in svg.iter("text"):
        if "x" in element.attrib:
            y = round(float(element.attrib["y"]))
            found.setdefault(y, []).append((float(element.attrib["x"]), element.text or ""))
    return [[text for _, text in sorted(found[y])] for y in sorted(found)]


def style(element: ET.Element, name: str, otherwise: str = "") -> str:
    found = re.search(rf"(?:^|; ){name}: (\S+?)(?:;|$)", element.get("style", ""))
    return found.group(1) if found else otherwise


def paths(svg: ET.Element, **wanted: str) -> list[list[tuple[float, float]]]:
    """The corners of every path with that style, ``stroke_width="1.4"``."""
    return [
        [(float(x), float(y)) for x, y in re.findall(r"[ML] (\S+) (\S+)", element.attrib["d"])]
        for element in svg.iter("path")
        if all(style(element, k.replace("_", "-")) == v for k, v in wanted.items())
    ]


@pytest.fixture(scope="session")
def svg() -> SimpleNamespace:
    """The functions that read a drawing."""
    return SimpleNamespace(parse=parse, texts=texts, rows=rows, style=style, paths=paths)


VOID = {"meta", "path", "use"}


class Page(HTMLParser):
    """Tags, attributes, words and tables of a page; a tag that is closed wrongly is an error."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str, str]] = []
        self.words: list[str] = []
        self.captions: list[str] = []
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
        elif tag == "caption":
            self.captions.append("")
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
        if "caption" in self.open:
            self.captions[-1] = " ".join([*self.captions[-1].split(), *data.split()])
        if {"th", "td"} & set(self.open):
            row = self.tables[-1][-1]
            row[-1] = " ".join([*row[-1].split(), *data.split()])

    @property
    def text(self) -> str:
        return " ".join(self.words)

    def table(self, words: str) -> list[list[str]]:
        """The one table that has these words in its caption."""
        pairs = zip(self.captions, self.tables, strict=True)
        (found,) = (table for caption, table in pairs if words in caption)
        return found


@pytest.fixture(scope="session")
def read() -> type[Page]:
    """The class that reads a page: ``read(html).tables``."""
    return Page
