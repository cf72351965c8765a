"""results.json and analysis.json are checked when they are read, and an error is one line."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ucadi_flwr.errors import DataError
from ucadi_flwr.results import experiment as results_module
from ucadi_flwr.results.analysis import Analysis, read_analysis, write_analysis
from ucadi_flwr.results.experiment import Results, read_results, write_results

Reader = Callable[[Path], Results | Analysis]


def test_documents_are_read_as_they_were_written(
    results: Results, analysis: Analysis, tmp_path: Path
) -> None:
    write_results(tmp_path / "results.json", results)
    write_analysis(tmp_path / "analysis.json", analysis)
    assert read_results(tmp_path / "results.json") == results
    assert read_analysis(tmp_path / "analysis.json") == analysis
    assert len(list(tmp_path.iterdir())) == 2


@pytest.mark.parametrize("read", [read_results, read_analysis])
def test_errors_name_the_file_and_the_place(read: Reader, tmp_path: Path) -> None:
    path = tmp_path / "document.json"
    with pytest.raises(DataError, match=r"document\.json: No such file"):
        read(path)
    path.write_text('{"schema_version": 2}')
    with pytest.raises(DataError, match=r"document\.json: schema_version: Input should be 1"):
        read(path)


@pytest.mark.parametrize("read", [read_results, read_analysis])
def test_a_file_that_is_too_large_is_not_read(
    read: Reader, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "document.json"
    path.write_text("x" * 11)
    monkeypatch.setattr(results_module, "RESULTS_BYTES", 10)
    with pytest.raises(DataError, match="larger than 10 bytes"):
        read(path)
