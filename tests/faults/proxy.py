"""No fault: the server behind nginx, with the configuration of docs/deployment.md."""

import re
import shutil
import ssl
import subprocess
from pathlib import Path

import httpx
from members import sites_by_round
from scenario import NotRunError, Outcome, World, conclude, now, open_world, scenario

from ucadi_flwr.deployment.kit.kits import ServerKit
from ucadi_flwr.processes.children import free_port

GUIDE = Path(__file__).resolve().parents[2] / "docs" / "deployment.md"

MAIN = """\
daemon off;
user root;
pid {folder}/nginx.pid;
error_log {folder}/nginx.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
{server}
}}
"""


@scenario
def behind_proxy(folder: Path) -> Outcome:
    """The server stands behind nginx with the configuration of deployment.md; no fault"""
    program = nginx(folder)
    with open_world(folder) as world:
        outside, inside = ServerKit.load(world.kit / "server").address.port, free_port()
        words = ("--state", world.state.folder, "--port", inside)
        world.start("server", "server", world.kit / "server", *words)
        world.wait(lambda: "ready; state" in world.output("server"), "the server")
        start_proxy(world, program, outside, inside)
        begin = now()
        world.start_sites()
        check = ("--data", world.data / "b", "--state", folder / "state-check", "--check")
        world.finish(world.start("check", "site", world.kit / "b", *check))
        table = " ".join(world.output("check").replace("│", " ").split())
        assert "through a proxy (status 404)" in table, table
        control = [status(world, port, "/v1/control/list-nodes") for port in (outside, inside)]
        assert control[0] == 404 != control[1], control
        world.submit()
        world.finish(world.processes["submit1"])
        text = (
            f"`/v1/control/list-nodes` answers {control[0]} through the proxy and {control[1]} "
            f"behind it; `--check` says “through a proxy (status 404)”; {sites_by_round(world)}"
        )
        return conclude(world, text, begin, None)


def start_proxy(world: World, program: Path, outside: int, inside: int) -> None:
    """Start nginx with the guide's server block, with this machine's ports and files."""
    match = re.search(r"```nginx\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert match
    block = match[1]
    for documented, actual in (
        ("8443", str(outside)),
        ("9443", str(inside)),
        ("/srv/ucadi/server", str(world.kit / "server")),
        ("fl.example.org", "127.0.0.1"),
    ):
        assert documented in block
        block = block.replace(documented, actual)
    folder = world.folder / "nginx"
    folder.mkdir()
    settings = folder / "nginx.conf"
    settings.write_text(MAIN.format(folder=folder, server=block), encoding="utf-8")
    with (world.folder / "proxy.out").open("wb") as output:
        world.processes["proxy"] = subprocess.Popen(
            [program, "-p", folder, "-c", settings], stdout=output, stderr=output
        )
    world.wait(lambda: (folder / "nginx.pid").exists(), "nginx")


def status(world: World, port: int, path: str) -> int:
    """The HTTP status of an empty POST."""
    context = ssl.create_default_context(cafile=world.kit / "server" / "ca.crt")
    url = f"https://127.0.0.1:{port}{path}"
    return httpx.post(url, verify=context, timeout=60.0, trust_env=False).status_code


def nginx(folder: Path) -> Path:
    """nginx: the system's, or from its Debian package, which is only unpacked."""
    if installed := shutil.which("nginx"):
        return Path(installed)
    unpacked = folder / "package"
    unpacked.mkdir()
    try:
        subprocess.run(
            ["apt-get", "download", "nginx"], cwd=unpacked, check=True, capture_output=True
        )
        package = next(unpacked.glob("*.deb"))
        subprocess.run(["dpkg", "-x", package, unpacked], check=True, capture_output=True)
        return next(unpacked.rglob("usr/sbin/nginx"))
    except (OSError, subprocess.CalledProcessError, StopIteration):
        raise NotRunError("nginx is not installed and cannot be downloaded here") from None
