"""The ``ucadi`` command: its output and its errors; flags of ``run_sim.py``."""

import csv
import subprocess
import sys
from pathlib import Path

import pytest
from helpers import dicom_factory, federation, tiny

import run_sim
from ucadi_flwr import cli
from ucadi_flwr.errors import RecipeError, reporting_errors
from ucadi_flwr.protection.keys import SiteKey


def run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: object
) -> tuple[int, str, str]:
    monkeypatch.setattr("sys.argv", ["ucadi", *map(str, words)])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    printed = capsys.readouterr()
    return int(ended.value.code or 0), printed.out, printed.err


def test_help_names_the_commands(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = run(monkeypatch, capsys, "--help")
    assert code == 0
    assert "prepare" in out
    assert "report" in out


def test_prepare_writes_a_site(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    dicom_factory.write_series(tmp_path / "in" / "a", slices=6, series="a")
    dicom_factory.write_series(tmp_path / "in" / "b", slices=3, series="b")
    words = ("prepare", "--input", tmp_path / "in", "--output", tmp_path / "out")
    code, out, err = run(monkeypatch, capsys, *words, "--min-slices", 5)
    assert code == 0, err
    assert "1 series kept" in out
    assert "1 series excluded" in out
    with (tmp_path / "out" / "excluded.csv").open(encoding="utf-8") as file:
        (left_out,) = csv.DictReader(file)
    assert "3 slices, at least 5 needed" in left_out["detail"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["prepare", "--input", "gone", "--output", "x"], "gone: no such folder"),
        (["prepare", "--input", ".", "--output", "x", "--min-slices", "1"], "at least 2 slices"),
        (["report", "gone"], "No such file or directory; run an experiment first"),
    ],
)
def test_errors_are_one_line(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(monkeypatch, capsys, *words)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_broken_results_file_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "results.json").write_text('{"schema_version": 2}', encoding="utf-8")
    code, _, err = run(monkeypatch, capsys, "report", tmp_path)
    assert code == 2
    assert "results.json: schema_version: Input should be 1" in err


def test_ctrl_c_prints_no_traceback(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended, reporting_errors():
        raise KeyboardInterrupt
    assert ended.value.code == 130
    assert capsys.readouterr().err == "stopped\n"


def test_a_key_holder_opens_an_encrypted_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("ucadi_flwr.server.replies.POLL_SECONDS", 0.001)
    data = tiny.write_sites(tmp_path / "data", {"a": 8, "b": 8, "c": 8})
    config = federation.configs(tmp_path, data)("ucadi", scheme="bfv", rounds=2)
    federation.run(config)
    words = ["open", config.server, "--key", config.key, "--task", config.task]
    words += ["--strategy", "ucadi", "--output", tmp_path / "opened"]
    code, out, err = run(monkeypatch, capsys, *words)
    assert (code, err) == (0, "")
    assert out.startswith(f"model: {tmp_path / 'opened' / 'model.safetensors'}\nround 1: loss 0.")
    assert "test: 6 cases, AUC " in out
    code, _, err = run(monkeypatch, capsys, *words)
    assert (code, "exists already; it is not overwritten" in err) == (2, True)
    other = tmp_path / "other.key"
    SiteKey.create("bfv").save(other)
    words[3], words[-1] = other, tmp_path / "elsewhere"
    code, _, err = run(monkeypatch, capsys, *words)
    assert (code, "the message is under key" in err) == (2, True)
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.parametrize(
    ("text", "bytes_a_second"),
    [("", 0), ("900KB/s", 900_000), ("10Mbit/s", 1_250_000), ("1.5 MB/s", 1_500_000), ("7B/s", 7)],
)
def test_bandwidths(text: str, bytes_a_second: int) -> None:
    assert run_sim.parse_rate(text) == bytes_a_second


@pytest.mark.parametrize("text", ["fast", "900", "0KB/s", "-1KB/s", "9KB"])
def test_texts_that_are_no_bandwidth(text: str) -> None:
    with pytest.raises(RecipeError, match="write a rate such as 900KB/s"):
        run_sim.parse_rate(text)


def test_the_command_itself_does_not_import_pytorch() -> None:
    code = "import sys, ucadi_flwr.cli; print(sorted({'torch', 'monai', 'flwr'} & {*sys.modules}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
