"""The pictures of features on the page: panels, texts, and the note if there is no picture."""

import numpy as np
import pytest
from helpers import svg
from helpers.read_page import Page, page_of

from ucadi_flwr.report.comparisons import Comparison
from ucadi_flwr.report.figures.scatter import feature_plots
from ucadi_flwr.results.analysis import Analysis, Embedding
from ucadi_flwr.results.experiment import Results


def embedding(strategy: str, cases: int = 30, picture: bool = True, **more: object) -> Embedding:
    rng = np.random.default_rng(0)
    return Embedding.model_validate(
        {
            "strategy": strategy,
            "seed": 0,
            "sites": ["a", "b"],
            "of": cases,
            "features": 120,
            "label": [i % 2 for i in range(cases)],
            "site": [int(i >= 10) for i in range(cases)],
            "silhouette_class": 0.254,
            "silhouette_site": -0.031,
            "perplexity": 9.6667 if picture else None,
            "x": rng.normal(size=cases).tolist() if picture else [],
            "y": rng.normal(size=cases).tolist() if picture else [],
            **more,
        }
    )


def with_features(analysis: Analysis, *embeddings: Embedding) -> Analysis:
    return analysis.model_copy(update={"embeddings": list(embeddings)})


def test_two_panels_have_the_same_points(analysis: Analysis) -> None:
    comparison = Comparison(with_features(analysis, embedding("fedavg")), ["fedavg"])
    (drawing,) = feature_plots(comparison, ["healthy", "covid"])
    root = svg.parse(drawing)
    assert [w for w in svg.texts(root) if w] == [
        *("fedavg, by class: silhouette .25", "healthy", "covid"),
        *("fedavg, by site: silhouette −.03", "a", "b"),
    ]
    uses = list(root.iter("use"))
    assert len(uses) == 2 * 30 + 4  # and the legends' points
    assert len({use.get("href") for use in uses}) == 2  # markers of the groups
    assert "fedavg, seed 0: 30 test cases, placed by the 120 features" in drawing.caption
    assert "perplexity 9.67" in drawing.caption
    assert "The distances between groups" in drawing.caption


def test_the_caption_says_that_cases_were_drawn(analysis: Analysis) -> None:
    comparison = Comparison(with_features(analysis, embedding("fedavg", of=1234)), ["fedavg"])
    (drawing,) = feature_plots(comparison, ["healthy", "covid"])
    assert "30 test cases (drawn at random from 1,234), placed by" in drawing.caption


def test_many_sites_are_all_in_the_legend(analysis: Analysis) -> None:
    names = [f"s{i}" for i in range(9)]
    nine = embedding("fedavg", 36, sites=names, site=[i % 9 for i in range(36)])
    (drawing,) = feature_plots(Comparison(with_features(analysis, nine), ["fedavg"]), ["h", "c"])
    root = svg.parse(drawing)
    assert set(names) <= set(svg.texts(root))


@pytest.fixture
def page(fair: Results, analysis: Analysis) -> Page:
    few = embedding("ucadi", 12, picture=False, silhouette_site=None)
    same = embedding("local", 25, picture=False)
    return Page(page_of(fair, with_features(analysis, embedding("fedavg"), few, same)))


def test_the_table_has_the_silhouettes(page: Page) -> None:
    assert page.table("Mean silhouette of the features") == [
        ["Strategy", "Seed", "Cases", "Features", "By class", "By site"],
        ["fedavg", "0", "30", "120", ".25", "−.03"],
        ["ucadi", "0", "12", "120", ".25", "–"],
        ["local", "0", "25", "120", ".25", "−.03"],
    ]
    assert "Test cases with similar features" in page.text


def test_the_page_says_why_there_is_no_picture(page: Page) -> None:
    assert (
        "No picture of ucadi: 12 cases are too few, because any few points look like" in page.text
    )
    assert "No picture of local: its 25 cases all have the same features." in page.text


def test_without_features_there_is_no_section(html: str) -> None:
    assert "Test cases with similar features" not in html
