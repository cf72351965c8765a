"""The page in a browser: it requests nothing, and the browser reports no error."""

import shutil
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

NAMES = ("chromium", "chromium-browser", "google-chrome")
OFFLINE = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND",  # no host name is resolved
]
WITH_REQUEST = """<!DOCTYPE html><html><head><meta http-equiv="Content-Security-Policy"
content="default-src 'none'"></head><body><img src="http://a.invalid/x.png" alt=""></body></html>"""


def visit(page: Path, profile: Path) -> tuple[str, list[str]]:
    """The page as the browser sees it, and the lines of its console."""
    browser = next(filter(None, map(shutil.which, NAMES)), None)
    if browser is None:
        pytest.skip(f"no browser here: none of {', '.join(NAMES)} is installed")
    done = subprocess.run(
        [
            *(browser, *OFFLINE, f"--user-data-dir={profile}"),
            *("--enable-logging=stderr", "--v=0", "--dump-dom", page.as_uri()),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_the_console_reports_a_request(tmp_path: Path) -> None:
    (tmp_path / "request.html").write_text(WITH_REQUEST)
    _, console = visit(tmp_path / "request.html", tmp_path / "profile")
    assert any("Content Security Policy" in line for line in console)


def test_a_browser_shows_the_page_without_a_message(html: str, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(html, encoding="utf-8")
    dom, console = visit(page, tmp_path / "profile")
    assert console == []
    assert dom.count("<svg") == 6
    assert dom.rstrip().endswith("</html>")
    assert "local compared with fedavg on all 100 cases" in dom
