"""``ucadi provision``: its output, and that errors are one line."""

from collections.abc import Callable
from pathlib import Path

import pytest
import typer

from ucadi_flwr.commands.provision import provision as command
from ucadi_flwr.errors import reporting_errors

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def provision(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Run the command in a new folder; it returns (exit status, output, errors)."""
    monkeypatch.chdir(tmp_path)
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(command)

    def run(*words: str) -> tuple[int, str, str]:
        with pytest.raises(SystemExit) as ended, reporting_errors():
            app(list(words))
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


NEW = ("--server", "127.0.0.1:8443", "--site", "A", "--site", "St. Mary", "--out", "KIT")


def test_make(provision: Run, tmp_path: Path) -> None:
    code, out, err = provision(*NEW)
    assert (code, err) == (0, "")
    assert "scheme: bfv" in out
    assert "key-id: " in out
    for folder in ("A", "St. Mary", "server", "authority"):
        assert (tmp_path / "KIT" / folder).is_dir()
        assert f"KIT/{folder}" in out
    assert out.count("node key SHA256:") == 2
    for path in (tmp_path / "KIT").rglob("*.key"):
        for line in path.read_text().splitlines()[1:-1]:
            assert line[:40] not in out


@pytest.mark.parametrize(("scheme", "said"), [("ckks", "ckks"), ("none", "none; the server can")])
def test_schemes(provision: Run, scheme: str, said: str) -> None:
    code, out, _ = provision(*NEW, "--scheme", scheme)
    assert code == 0
    assert f"scheme: {said}" in out


def test_changes_print_who_receives_which_folder(provision: Run) -> None:
    provision(*NEW)
    code, out, _ = provision("--out", "KIT", "--add", "C", "--add", "D")
    assert code == 0
    assert out == (
        "Give KIT/server to the server again; changed: README.md, node-keys/C.pub, "
        "node-keys/D.pub, settings.json\n"
        "Give KIT/C to C for the first time\n"
        "Give KIT/D to D for the first time\n"
        "The others keep the files that they have.\n"
    )
    code, out, _ = provision("--out", "KIT", "--revoke", "A")
    assert code == 0
    for party in ("the server", "St. Mary", "C", "D"):
        assert f"to {party} again" in out
    assert "Delete the files that A received" in out
    code, out, _ = provision("--out", "KIT", "--rotate")
    assert code == 0
    assert "Give KIT/C to C again; changed: README.md, encryption.key, settings.json" in out
    code, out, _ = provision("--out", "KIT", "--renew")
    assert code == 0
    assert out.startswith("Give KIT/server to the server again; changed: ")
    assert "server.crt, server.key\n" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--out", "NEW"), "--server HOST:PORT"),
        (("--out", "NEW", "--site", "A"), "--server HOST:PORT"),
        (("--out", "NEW", "--server", "h:1"), "needs sites"),
        (("--out", "NEW", "--server", "h", "--site", "A"), "HOST:PORT"),
        (("--out", "NEW", "--server", "h:1", "--site", "A", "--scheme", "rot13"), "rot13"),
        (("--out", "NEW", "--server", "h:1", "--site", "../A"), "cannot be named"),
        (("--out", "NEW", "--add", "B"), "no such kit"),
        (("--out", "gone/NEW", "--server", "h:1", "--site", "A"), "No such file"),
        (NEW, "exists already"),
        (("--out", "KIT", "--add", "A"), "already"),
        (("--out", "KIT", "--revoke", "Z"), "no site 'Z'"),
        (("--out", "KIT", "--add", "B", "--revoke", "A"), "one change at a time"),
        (("--out", "KIT", "--rotate", "--renew"), "one change at a time"),
        (("--out", "KIT", "--add", "B", "--scheme", "ckks"), "one change at a time"),
        (("--out", "KIT", "--renew", "--server", "h:1"), "one change at a time"),
    ],
)
def test_mistakes_are_one_line(
    provision: Run, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    provision(*NEW)
    files = sorted(tmp_path.rglob("*"))
    code, out, err = provision(*words)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == files
