"""The texts and tables of a page, and its figures."""

from html.parser import HTMLParser

from ucadi_flwr.report.comparisons import Comparison
from ucadi_flwr.report.figures import draw
from ucadi_flwr.report.figures.drawing import Drawing
from ucadi_flwr.report.page import render
from ucadi_flwr.results.analysis import Analysis
from ucadi_flwr.results.experiment import Results

VOID = {"meta", "path", "use"}


def drawings_of(results: Results, analysis: Analysis | None = None) -> list[Drawing]:
    return draw(results, comparison_of(results, analysis))


def page_of(results: Results, analysis: Analysis | None = None) -> str:
    """The page as ``publish`` writes it."""
    comparison = comparison_of(results, analysis)
    return render(results, comparison, draw(results, comparison))


def comparison_of(results: Results, analysis: Analysis | None) -> Comparison | None:
    names = [cell.strategy.name for cell in results.cells]
    return None if analysis is None else Comparison(analysis, names)


class Page(HTMLParser):
    """Tags, attributes, words and tables of a page; a tag that is not closed is an error."""

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
        """The only table with these words in its caption."""
        pairs = zip(self.captions, self.tables, strict=True)
        (rows,) = (table for caption, table in pairs if words in caption)
        return rows
