"""``ucadi site --check``: each check, where all is in order and where it is not."""

import http.server
import os
import ssl
import threading
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest
from helpers import tiny
from helpers.known import known

from ucadi_flwr.deployment import checks, health
from ucadi_flwr.deployment.checks import (
    CheckResult,
    all_ok,
    check_clock,
    check_disk,
    check_key,
    check_reply,
    check_site,
)
from ucadi_flwr.deployment.health import HealthReply
from ucadi_flwr.deployment.kit import commands
from ucadi_flwr.deployment.kit.kits import SiteKit
from ucadi_flwr.processes.children import free_port
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.task import TaskRecipe


@pytest.mark.parametrize(
    ("ahead", "ok", "detail"),
    [
        (0.4, True, "agrees"),
        (4.0, True, "your clock is 4 s ahead"),
        (5.0, False, "your clock is 5 s ahead; set it"),
        (-300.0, True, "your clock is 300 s behind"),
        (-305.0, False, "your clock is 305 s behind; set it"),
        (None, None, "did not send its time"),
    ],
)
def test_clocks(ahead: float | None, ok: bool | None, detail: str) -> None:
    result = check_clock(ahead)
    assert result.ok is ok
    assert detail in result.detail


def test_the_difference_of_the_clocks_is_computed_from_the_date_header() -> None:
    assert health.clock_ahead(formatdate(1000, usegmt=True), 1010.0, 1011.0) == 10.0
    assert health.clock_ahead("yesterday", 0, 0) is None
    assert health.clock_ahead(None, 0, 0) is None


def test_images(tmp_path: Path) -> None:
    task = loader.load(TaskRecipe, str(tiny.write_task(tmp_path)))
    data = tiny.write_sites(tmp_path / "data", {"a": 16, "b": 8})
    assert checks.check_images(data / "a", task) == CheckResult(
        "images", True, "train 12 (6 left, 6 right) · test 4 (2 left, 2 right)"
    )
    assert "has 2 sites" in checks.check_images(data, task).detail
    assert checks.check_images(tmp_path / "none", task).ok is False
    with pytest.MonkeyPatch.context() as patch:  # root may read anything
        patch.setattr(os, "access", lambda path, _: not str(path).endswith("c3.nii.gz"))
        result = checks.check_images(data / "a", task)
    assert result.ok is False
    assert "c3.nii.gz: cannot be read" in result.detail


def test_keys(kit: Path, plain_kit: Path) -> None:
    sealed, plain = SiteKit.load(kit / "A"), SiteKit.load(plain_kit / "A")
    assert check_key(sealed, "bfv").ok
    assert check_key(sealed, "none").ok
    assert check_key(sealed, "ckks") == CheckResult(
        "key", False, f"bfv, id {known(sealed.key).key_id.hex()}; the strategy needs ckks"
    )
    assert check_key(plain, None) == CheckResult("key", True, "none")
    assert check_key(plain, "bfv") == CheckResult("key", False, "none, and the strategy needs bfv")


def test_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert str(tmp_path) in check_disk(tmp_path / "not" / "yet").detail
    monkeypatch.setattr(checks, "FREE_BYTES", 2**80)
    assert check_disk(tmp_path).ok is False


def test_a_proxy_may_refuse_the_request_but_needs_a_server_behind_it(kit: Path) -> None:
    site = SiteKit.load(kit / "A")
    assert check_reply(site, HealthReply(200, 0.0)).detail.endswith("answers over TLS")
    assert check_reply(site, HealthReply(404, 0.0)).detail.endswith("through a proxy (status 404)")
    assert check_reply(site, HealthReply(502, 0.0)).ok is False


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served_kit(tmp_path: Path) -> Iterator[Path]:
    """A kit whose server answers over TLS, without Flower."""
    port = free_port()
    kit = tmp_path / "KIT"
    commands.make(kit, f"127.0.0.1:{port}", ["A"], "none")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(kit / "server" / "server.crt", kit / "server" / "server.key")
    server = http.server.HTTPServer(("127.0.0.1", port), Handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    yield kit
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_site_where_all_is_in_order(served_kit: Path, tmp_path: Path) -> None:
    data = tiny.write_sites(tmp_path / "data", {"a": 16}) / "a"
    task = str(tiny.write_task(tmp_path))
    results = check_site(served_kit / "A", data, tmp_path, task, "fedavg")
    assert {result.subject: result.ok for result in results} == dict.fromkeys(
        ["kit", "task", "images", "strategy", "key", "disk", "server", "clock"], True
    )
    assert all_ok(results)
    assert checks.results_table(results).row_count == 8


def test_a_server_of_another_authority_is_refused(served_kit: Path, tmp_path: Path) -> None:
    address = str(SiteKit.load(served_kit / "A").address)
    commands.make(tmp_path / "OTHER", address, ["A"], "none")
    server, clock = checks.check_server(SiteKit.load(tmp_path / "OTHER" / "A"))
    assert server.ok is False
    assert "do not continue" in server.detail
    assert clock.ok is None


def test_everything_that_is_wrong_is_reported_at_once(tmp_path: Path) -> None:
    results = check_site(tmp_path / "none", tmp_path / "data", tmp_path, "nonsense", "nonsense")
    assert {r.subject for r in results if r.ok is False} == {"kit", "task", "strategy"}
    assert not all_ok(results)
    results = check_site(tmp_path, tmp_path / "x", None, None, None)
    assert next(r for r in results if r.subject == "images").ok is False


def test_no_server_at_all(tmp_path: Path) -> None:
    commands.make(tmp_path / "KIT", f"127.0.0.1:{free_port()}", ["A"], "none")
    results = {
        r.subject: r for r in check_site(tmp_path / "KIT" / "A", tmp_path, tmp_path, None, None)
    }
    assert "no answer (Connection refused)" in results["server"].detail
    assert results["images"].ok is None


def test_a_proxy_setting_that_cannot_be_used_is_no_reply(
    served_kit: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kit = SiteKit.load(served_kit / "A")
    for name in ("ALL_PROXY", "all_proxy", "HTTPS_PROXY", "https_proxy", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    for proxy in ("ftp://proxy.invalid", "http://[", f"http://127.0.0.1:{free_port()}"):
        monkeypatch.setenv("HTTPS_PROXY", proxy)
        with pytest.raises(OSError):  # noqa: PT011 - any of its kinds
            health.ask(str(kit.address), kit.authority)
        assert health.ask(str(kit.address), kit.authority, direct=True).status == 200
