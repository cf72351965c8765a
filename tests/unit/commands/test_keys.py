"""``ucadi keys``: files of the right kind and mode, and nothing secret on the screen."""

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from ucadi_flwr import cli

Keys = Callable[..., tuple[int, str, str]]
"""``keys(*words)`` runs ``ucadi keys``; it returns (exit status, output, errors)."""


@pytest.fixture
def keys(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Keys:
    """Run ``ucadi keys`` in a new folder."""
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["ucadi", "keys", *words])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return run


@pytest.mark.parametrize("scheme", ["bfv", "ckks"])
def test_create_show_and_check(keys: Keys, tmp_path: Path, scheme: str) -> None:
    code, out, err = keys("create", "site.key", "server.ctx", "--scheme", scheme)
    assert (code, err) == (0, "")
    assert stat.S_IMODE((tmp_path / "site.key").stat().st_mode) == 0o600
    secret = json.loads((tmp_path / "site.key").read_text())["secret"]
    assert secret[:40] not in (tmp_path / "server.ctx").read_text()
    shown = out + keys("show", "site.key")[1] + keys("show", "server.ctx")[1]
    assert secret[:40] not in shown
    assert "holds: a site's secret key" in shown
    assert "holds: a server context" in shown
    code, out, _ = keys("check", "site.key", "server.ctx")
    assert code == 0
    assert "1 + 2 + 3 = 6 under encryption" in out


def test_rotate_makes_another_key_and_keeps_the_old(keys: Keys, tmp_path: Path) -> None:
    keys("create", "site.key", "server.ctx")
    before = (tmp_path / "server.ctx").read_text()
    keys("create", "other.key", "other.ctx")
    assert keys("rotate", "site.key", "server.ctx")[0] == 0
    assert (tmp_path / "server.ctx").read_text() != before
    assert keys("check", "site.key", "server.ctx")[0] == 0
    assert len(list(tmp_path.glob("site.*.key"))) == 1
    code, _, err = keys("check", "site.key", "other.ctx")
    assert code == 2
    assert "other.ctx is not for site.key" in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("create", "site.key", "new.ctx"), "site.key exists already"),
        (("create", "new.key", "server.ctx"), "server.ctx exists already"),
        (("check", "site.key", "site.key"), "this is a site's secret key"),
        (("check", "server.ctx", "server.ctx"), "server.ctx"),
        (("show", "gone"), "gone cannot be read"),
        (("create", "new.key", "new.ctx", "--scheme", "rot13"), "rot13"),
    ],
)
def test_mistakes_are_one_line(
    keys: Keys, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    keys("create", "site.key", "server.ctx")
    files = sorted(tmp_path.iterdir())
    code, _, err = keys(*words)
    assert code == 2
    assert message in err
    assert err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == files
