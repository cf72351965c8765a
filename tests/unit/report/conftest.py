"""Results, an analysis, and functions that read figures and pages, for all tests of the report."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
from helpers import read_page, small_analysis, small_results

from ucadi_flwr.report.comparisons import Comparison
from ucadi_flwr.results.analysis import Analysis
from ucadi_flwr.results.experiment import Results


@pytest.fixture(scope="session")
def results() -> Results:
    """Strategies local, central (not tested), fedavg and fedprox (failed)."""
    return small_results.build(small_results.cells(), {"c": 3, "a": 1, "b": 2})


@pytest.fixture(scope="session")
def make() -> Callable[..., Results]:
    """``make(strategies, sites, own=…)``: results in which every measure is 0.875."""

    def results_of(
        strategies: list[str], sites: list[str], own: bool = False, seeds: tuple[int, ...] = (0,)
    ) -> Results:
        cells = [small_results.fair_cell(s, sites, seed, own) for s in strategies for seed in seeds]
        return small_results.build(cells, dict.fromkeys(sites, 1))

    return results_of


@pytest.fixture(scope="session")
def of() -> SimpleNamespace:
    """Functions that build parts of an analysis."""
    return SimpleNamespace(
        estimate=small_analysis.estimate,
        tested=small_analysis.a_test,
        difference=small_analysis.difference,
        study=small_analysis.study,
        analysis=small_analysis.analysis_of,
    )


@pytest.fixture(scope="session")
def analysis() -> Analysis:
    """See :func:`small_analysis.small_analysis`."""
    return small_analysis.small_analysis()


@pytest.fixture(scope="session")
def fair(make: Callable[..., Results]) -> Results:
    """The results that belong to :func:`analysis`."""
    return make(["local", "fedavg", "ucadi"], ["a", "b"], seeds=(0, 1))


@pytest.fixture(scope="session")
def html(fair: Results, analysis: Analysis) -> str:
    """The page of these results and their analysis."""
    return read_page.page_of(fair, analysis)


@pytest.fixture(scope="session")
def comparison(analysis: Analysis) -> Comparison:
    """The analysis in the order of its experiment."""
    return Comparison(analysis, ["local", "fedavg", "ucadi"])


@pytest.fixture(scope="session")
def svg() -> SimpleNamespace:
    """Functions that read a drawing."""
    return SimpleNamespace(
        parse=read_page.parse,
        texts=read_page.texts,
        rows=read_page.rows,
        style=read_page.style,
        paths=read_page.paths,
    )


@pytest.fixture(scope="session")
def read() -> type[read_page.Page]:
    """The class that reads a page: ``read(html).tables``."""
    return read_page.Page
