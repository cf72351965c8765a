"""Not a fault, but as real: the server behind nginx, as docs/deployment.md has it."""

import re
import shutil
import ssl
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from members import taken
from scenario import NotRunError, Row, World, judged, now, scenario, world

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
def behind_proxy(folder: Path) -> Row:
    """The server stands behind nginx with the configuration of deployment.md; no fault"""
    program = nginx(folder)
    with world(folder) as place:
        outside, inside = ServerKit.load(place.kit / "server").address.port, free_port()
        words = ("--state", place.state.folder, "--port", inside)
        place.start("server", "server", place.kit / "server", *words)
        place.wait(lambda: "ready; state" in place.said("server"), "the server")
        start_proxy(place, program, outside, inside)
        begin = now()
        place.start_sites()
        words = ("--data", place.data / "b", "--state", folder / "state-check", "--check")
        place.finish(place.start("check", "site", place.kit / "b", *words))
        said = " ".join(place.said("check").replace("│", " ").split())
        assert "through a proxy (status 404)" in said, said
        control = [status(place, port, "/v1/control/list-nodes") for port in (outside, inside)]
        assert control[0] == 404 != control[1], control
        place.submit()
        place.finish(place.processes["submit1"])
        text = (
            f"`/v1/control/list-nodes` answers {control[0]} through the proxy and {control[1]} "
            f"behind it; `--check` says “through a proxy (status 404)”; {taken(place)}"
        )
        return judged(place, text, begin, None)


def start_proxy(place: World, program: Path, outside: int, inside: int) -> None:
    """The guide's server block, with this machine's ports and files."""
    found = re.search(r"```nginx\n(.*?)```", GUIDE.read_text(encoding="utf-8"), re.DOTALL)
    assert found
    block = found[1]
    for theirs, ours in (
        ("8443", str(outside)),
        ("9443", str(inside)),
        ("/srv/ucadi/server", str(place.kit / "server")),
        ("fl.example.org", "127.0.0.1"),
    ):
        assert theirs in block
        block = block.replace(theirs, ours)
    folder = place.folder / "nginx"
    folder.mkdir()
    settings = folder / "nginx.conf"
    settings.write_text(MAIN.format(folder=folder, server=block), encoding="utf-8")
    with (place.folder / "proxy.out").open("wb") as output:
        place.processes["proxy"] = subprocess.Popen(
            [program, "-p", folder, "-c", settings], stdout=output, stderr=output
        )
    place.wait(lambda: (folder / "nginx.pid").exists(), "nginx")


def status(place: World, port: int, path: str) -> int:
    """What HTTP says to an empty POST."""
    context = ssl.create_default_context(cafile=place.kit / "server" / "ca.crt")
    url = f"https://127.0.0.1:{port}{path}"
    try:
        with urllib.request.urlopen(url, data=b"", context=context, timeout=60) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def nginx(folder: Path) -> Path:
    """The program, of the system or of its Debian package, unpacked."""
    if found := shutil.which("nginx"):
        return Path(found)
    place = folder / "package"
    place.mkdir()
    try:
        subprocess.run(["apt-get", "download", "nginx"], cwd=place, check=True, capture_output=True)
        package = next(place.glob("*.deb"))
        subprocess.run(["dpkg", "-x", package, place], check=True, capture_output=True)
        return next(place.rglob("usr/sbin/nginx"))
    except (OSError, subprocess.CalledProcessError, StopIteration):
        raise NotRunError("nginx is not installed and cannot be had here") from None
