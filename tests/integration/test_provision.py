"""A kit with Flower's own commands: its sites are accepted, over TLS, and nobody else is."""

import json
import os
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from ucadi_flwr.deployment.kit import commands
from ucadi_flwr.deployment.kit.kits import ServerKit, SiteKit
from ucadi_flwr.processes.children import free_port, stop

pytestmark = pytest.mark.slow

CONNECTION = "kit"
SECONDS = 120.0
REFUSED = 1
"""The exit status of Flower's commands after any error; Flower's own code is in the log."""


class Deployment:
    """One SuperLink of a kit, with a private home; every process that was started is ended."""

    def __init__(self, folder: Path) -> None:
        self.port = free_port()
        self.kit = folder / "KIT"
        commands.make(self.kit, f"127.0.0.1:{self.port}", ["A", "B"], "bfv")
        self.server = ServerKit.load(self.kit / "server")
        self.home = folder / "home"
        self.home.mkdir()
        self.environment = os.environ | {
            "FLWR_HOME": str(self.home),
            "FLWR_TELEMETRY_ENABLED": "0",
            "FLWR_DISABLE_UPDATE_CHECK": "1",
            "FLWR_DISABLE_RUNTIME_DEPENDENCY_INSTALLATION": "1",
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        }
        connection = (
            f'[superlink.{CONNECTION}]\naddress = "{self.server.address}"\n'
            f'root-certificates = "{self.server.authority}"\n'
        )
        (self.home / "config.toml").write_text(connection, encoding="utf-8")
        self._started: list[subprocess.Popen[bytes]] = []

    def start_superlink(self) -> None:
        superlink = self._start(
            "superlink",
            *("flower-superlink", "--host", "127.0.0.1", "--port", str(self.port)),
            *("--ssl-ca-certfile", self.server.authority, "--ssl-certfile"),
            *(self.server.certificate, "--ssl-keyfile", self.server.key),
            *("--enable-supernode-auth", "--database", self.home / "state.db"),
            "--disable-runtime-dependency-installation",
        )

        def answers() -> bool:
            assert superlink.poll() is None, self.log("superlink")
            with socket.socket() as probe:
                return probe.connect_ex(("127.0.0.1", self.port)) == 0

        until(answers)

    def start_supernode(self, kit: SiteKit, name: str) -> subprocess.Popen[bytes]:
        return self._start(
            name,
            *("flower-supernode", "--root-certificates", kit.authority),
            *("--superlink", str(kit.address), "--auth-supernode-private-key", kit.node_key),
            *("--port", str(free_port()), "--node-config", f'site="{kit.name}"'),
        )

    def flwr(self, *arguments: object) -> dict[str, Any]:
        """The JSON of ``flwr supernode``; with ``--format json`` it always exits with 0."""
        printed = subprocess.run(
            [*("flwr", "supernode"), *map(str, arguments), CONNECTION, "--format", "json"],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=True,
        )
        return dict(json.loads(printed.stdout))

    def statuses(self) -> dict[str, str]:
        """Node id → status."""
        return {node["node-id"]: node["status"] for node in self.flwr("list")["nodes"]}

    def log(self, name: str) -> str:
        return (self.home / f"{name}.log").read_text(encoding="utf-8", errors="replace")

    def close(self) -> None:
        descendants = [c for p in self._started for c in children(p)]
        for process in reversed(self._started):
            stop(process)
        for left in psutil.wait_procs(descendants, timeout=20)[1]:
            left.kill()

    def _start(self, name: str, *command: object) -> subprocess.Popen[bytes]:
        with (self.home / f"{name}.log").open("ab") as output:
            process = subprocess.Popen(
                list(map(str, command)),
                env=self.environment,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._started.append(process)
        return process


def children(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    try:
        return psutil.Process(process.pid).children(recursive=True)
    except psutil.Error:
        return []


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.3)


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    """A SuperLink that runs from the server's folder; no site is registered yet."""
    started = Deployment(tmp_path_factory.mktemp("deployment"))
    try:
        started.start_superlink()
        yield started
    finally:
        started.close()


def handshake(port: int, context: ssl.SSLContext, name: str) -> str:
    with (
        socket.create_connection(("127.0.0.1", port), timeout=30) as plain,
        context.wrap_socket(plain, server_hostname=name) as secure,
    ):
        return secure.version() or ""


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost"])
def test_a_client_that_trusts_the_authority_accepts_the_server(
    deployment: Deployment, name: str
) -> None:
    context = ssl.create_default_context(cafile=str(deployment.kit / "A" / "ca.crt"))
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    assert handshake(deployment.port, context, name) == "TLSv1.3"


def test_a_client_that_does_not_trust_it_or_expects_another_host_refuses(
    deployment: Deployment, tmp_path: Path
) -> None:
    commands.make(tmp_path / "KIT", f"127.0.0.1:{deployment.port}", ["A"], "none")
    stranger = ssl.create_default_context(cafile=str(tmp_path / "KIT" / "A" / "ca.crt"))
    for context in (ssl.create_default_context(), stranger):
        with pytest.raises(ssl.SSLCertVerificationError, match="verify failed: "):
            handshake(deployment.port, context, "127.0.0.1")
    trusting = ssl.create_default_context(cafile=str(deployment.kit / "A" / "ca.crt"))
    with pytest.raises(ssl.SSLCertVerificationError, match="IP address mismatch"):
        handshake(deployment.port, trusting, "127.0.0.2")
    with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
        handshake(deployment.port, trusting, "example.org")


def test_a_registered_site_comes_online_and_a_revoked_one_is_refused(
    deployment: Deployment,
) -> None:
    site = SiteKit.load(deployment.kit / "A")
    public = deployment.server.node_keys["A"]
    registered = deployment.flwr("register", "--name", "A", public)
    assert registered["success"], registered
    node = str(registered["node-id"])
    assert deployment.statuses() == {node: "registered"}
    supernode = deployment.start_supernode(site, "A")
    until(lambda: deployment.statuses()[node] == "online")
    assert supernode.poll() is None
    stop(supernode)
    assert deployment.flwr("unregister", node)["success"]
    again = deployment.start_supernode(site, "A-revoked")
    assert again.wait(SECONDS) == REFUSED
    assert deployment.statuses() == {node: "unregistered"}
    repeated = deployment.flwr("register", public)
    assert "already in use" in repeated["error-message"]


def test_a_site_that_is_not_registered_is_refused(deployment: Deployment) -> None:
    before = deployment.statuses()
    supernode = deployment.start_supernode(SiteKit.load(deployment.kit / "B"), "B")
    assert supernode.wait(SECONDS) == REFUSED
    assert "Exit Code: 305" in deployment.log("B")
    assert deployment.statuses() == before


def test_secrets_are_in_no_log(deployment: Deployment) -> None:
    for name in ("A", "B"):
        secret = json.loads((deployment.kit / name / "encryption.key").read_text())["secret"]
        node_key = (deployment.kit / name / "node.key").read_text().splitlines()[2]
        for log in deployment.home.glob("*.log"):
            text = log.read_text(encoding="utf-8", errors="replace")
            assert secret[:40] not in text
            assert node_key not in text
