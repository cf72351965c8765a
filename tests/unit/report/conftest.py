"""Results and an analysis, for all tests of the report."""

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
def analysis() -> Analysis:
    """See :func:`small_analysis.small_analysis`."""
    return small_analysis.small_analysis()


@pytest.fixture(scope="session")
def fair() -> Results:
    """The results that belong to :func:`analysis`."""
    return small_results.fair_results(["local", "fedavg", "ucadi"], ["a", "b"], seeds=(0, 1))


@pytest.fixture(scope="session")
def html(fair: Results, analysis: Analysis) -> str:
    """The page of these results and their analysis."""
    return read_page.page_of(fair, analysis)


@pytest.fixture(scope="session")
def comparison(analysis: Analysis) -> Comparison:
    """The analysis in the order of its experiment."""
    return Comparison(analysis, ["local", "fedavg", "ucadi"])
