"""``ucadi site --check``: each row, fine and not."""

import http.server
import ssl
import threading
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest
from helpers import tiny

from ucadi_flwr.deployment import checks, health
from ucadi_flwr.deployment.checks import (
    Row,
    all_fine,
    check,
    clock_row,
    disk_row,
    key_row,
    server_row,
)
from ucadi_flwr.deployment.health import Answer
from ucadi_flwr.deployment.kit import commands
from ucadi_flwr.deployment.kit.kits import SiteKit
from ucadi_flwr.processes.children import free_port
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.task import TaskRecipe


@pytest.mark.parametrize(
    ("ahead", "fine", "found"),
    [
        (0.4, True, "agrees"),
        (4.0, True, "your clock is 4 s ahead"),
        (5.0, False, "your clock is 5 s ahead; set it"),
        (-300.0, True, "your clock is 300 s behind"),
        (-305.0, False, "your clock is 305 s behind; set it"),
        (None, None, "did not say"),
    ],
)
def test_clocks(ahead: float | None, fine: bool | None, found: str) -> None:
    row = clock_row(ahead)
    assert row.fine is fine
    assert found in row.found


def test_an_offset_is_told_from_a_date() -> None:
    assert health.ahead(formatdate(1000, usegmt=True), 1010.0, 1011.0) == 10.0
    assert health.ahead("yesterday", 0, 0) is None
    assert health.ahead(None, 0, 0) is None


def test_images(tmp_path: Path) -> None:
    task = loader.load(TaskRecipe, str(tiny.write_task(tmp_path)))
    data = tiny.write_sites(tmp_path / "data", {"a": 16, "b": 8})
    row = checks.data_row(data / "a", task)
    assert row == Row("images", True, "train 12 (6 left, 6 right) · test 4 (2 left, 2 right)")
    assert "has 2 sites" in checks.data_row(data, task).found
    assert checks.data_row(tmp_path / "none", task).fine is False
    with pytest.MonkeyPatch.context() as patch:  # root may read anything
        patch.setattr(checks.os, "access", lambda path, _: not str(path).endswith("c3.nii.gz"))
        row = checks.data_row(data / "a", task)
    assert row.fine is False
    assert "c3.nii.gz: cannot be read" in row.found


def test_keys(kit: Path, plain_kit: Path) -> None:
    sealed, plain = SiteKit.load(kit / "A"), SiteKit.load(plain_kit / "A")
    assert key_row(sealed, "bfv").fine
    assert key_row(sealed, "none").fine
    assert key_row(sealed, "ckks") == Row(
        "key", False, f"bfv, id {sealed.key.key_id.hex()}; the strategy needs ckks"
    )
    assert key_row(plain, None) == Row("key", True, "none")
    assert key_row(plain, "bfv") == Row("key", False, "none, and the strategy needs bfv")


def test_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert str(tmp_path) in disk_row(tmp_path / "not" / "yet").found
    monkeypatch.setattr(checks, "FREE_BYTES", 2**80)
    assert disk_row(tmp_path).fine is False


def test_a_proxy_may_refuse_the_question_but_not_be_alone(kit: Path) -> None:
    site = SiteKit.load(kit / "A")
    assert server_row(site, Answer(200, 0.0)).found.endswith("answers over TLS")
    assert server_row(site, Answer(404, 0.0)).found.endswith("through a proxy (status 404)")
    assert server_row(site, Answer(502, 0.0)).fine is False


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Path]:
    """A kit whose server is there; only Flower is missing."""
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


def test_all_is_well(served: Path, tmp_path: Path) -> None:
    data = tiny.write_sites(tmp_path / "data", {"a": 16}) / "a"
    task = str(tiny.write_task(tmp_path))
    rows = check(served / "A", data, tmp_path, task, "fedavg")
    assert {row.what: row.fine for row in rows} == dict.fromkeys(
        ["kit", "task", "images", "strategy", "key", "disk", "server", "clock"], True
    )
    assert all_fine(rows)
    assert checks.table(rows).row_count == 8


def test_a_server_of_another_authority_is_not_the_kit_s(served: Path, tmp_path: Path) -> None:
    address = str(SiteKit.load(served / "A").address)
    commands.make(tmp_path / "OTHER", address, ["A"], "none")
    server, clock = checks.server_rows(SiteKit.load(tmp_path / "OTHER" / "A"))
    assert server.fine is False
    assert "do not go on" in server.found
    assert clock.fine is None


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    rows = check(tmp_path / "none", tmp_path / "data", tmp_path, "nonsense", "nonsense")
    assert {row.what for row in rows if row.fine is False} == {"kit", "task", "strategy"}
    assert not all_fine(rows)
    (images,) = (r for r in check(tmp_path, tmp_path / "x", None, None, None) if r.what == "images")
    assert images.fine is False


def test_no_server_at_all(tmp_path: Path) -> None:
    commands.make(tmp_path / "KIT", f"127.0.0.1:{free_port()}", ["A"], "none")
    rows = check(tmp_path / "KIT" / "A", tmp_path, tmp_path, None, None)
    (server,) = (row for row in rows if row.what == "server")
    assert "no answer (Connection refused)" in server.found
    assert next(row for row in rows if row.what == "images").fine is None
