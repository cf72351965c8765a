"""``ucadi server``: a SuperLink with the kit's certificates, and the kit's sites let in."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from ucadi_flwr.deployment import health, roster
from ucadi_flwr.deployment.control import Control
from ucadi_flwr.deployment.kit.kits import ServerKit
from ucadi_flwr.deployment.state import State, open_state
from ucadi_flwr.errors import FederationError
from ucadi_flwr.processes.children import Children, environment, last_line

START_SECONDS = 120.0
LOOPBACK = "127.0.0.1"

_EVERYWHERE = {"0.0.0.0": LOOPBACK, "::": "[::1]"}  # noqa: S104 - compared, not bound
_OWN = (LOOPBACK, "localhost", "::1")

Say = Callable[[str], None]


def serve(folder: Path, state: Path | None, host: str, port: int | None, say: Say) -> None:
    """Run until a signal comes; raise :class:`FederationError` if the SuperLink ends by itself."""
    kit = ServerKit.load(folder)
    place = open_state(state, "server", kit.authority)
    port = port or kit.address.port
    near = own_address(kit, host, port)
    log = place.log("superlink")
    with (
        place.locked(),
        Children(environment(place.flower)) as children,
    ):
        place.end_leftovers()
        _refuse_another(near, kit)
        superlink = children.start(command(kit, place, host, port), log)
        _wait_until_healthy(superlink, near, kit, log)
        control = Control(place)
        control.connect(near, kit.authority)
        say(f"server: {kit.address}, here {host}:{port}; certificate until {kit.expires:%Y-%m-%d}")
        enrol(kit, control, place, say)
        say(f"ready; state and logs in {place.folder}")
        while superlink.poll() is None:
            time.sleep(0.5)
        raise _ended(superlink, log)


def own_address(kit: ServerKit, host: str, port: int) -> str:
    """Where this machine reaches a SuperLink that listens at ``host``, by a name it has proved."""
    known = [*_OWN, str(kit.address.host)]
    if host not in (*known, *_EVERYWHERE):
        raise FederationError(
            f"--host {host}: the certificate is for {', '.join(known)}; listen at one of them, or "
            "at 0.0.0.0 or ::"
        )
    near = _EVERYWHERE.get(host, f"[{host}]" if ":" in host else host)
    return f"{near}:{port}"


def command(kit: ServerKit, state: State, host: str, port: int) -> list[str]:
    """Flower's own: TLS, and nodes that prove who they are."""
    return [
        *("flower-superlink", "--host", host, "--port", str(port)),
        *("--ssl-ca-certfile", str(kit.authority)),
        *("--ssl-certfile", str(kit.certificate), "--ssl-keyfile", str(kit.key)),
        *("--enable-supernode-auth", "--isolation", "subprocess"),
        *("--database", str(state.database), "--disable-runtime-dependency-installation"),
    ]


def enrol(kit: ServerKit, control: Control, state: State, say: Say) -> None:
    """Let in the sites of the kit that Flower does not know, and turn away those that left."""
    known, keys = roster.load(state.roster), roster.kit_keys(kit)
    for key in roster.leaving(keys, known):
        control.unregister(known[key].node)
        gone = known.pop(key)
        roster.save(state.roster, known)
        say(f"{gone.site}: turned away (node {gone.node})")
    new = roster.joining(keys, known)
    for key, site in keys.items():
        if site in new:
            known[key] = roster.Entry(site, control.register(site, kit.node_keys[site]))
            roster.save(state.roster, known)
        say(f"{site}: {'registered' if site in new else 'known'} (node {known[key].node})")


def _refuse_another(near: str, kit: ServerKit) -> None:
    try:
        health.ask(near, kit.authority, 2.0, direct=True)
    except ConnectionError:
        return
    except OSError as error:
        if isinstance(getattr(error, "reason", None), ConnectionError):
            return
    raise FederationError(f"{near}: something listens there already; stop it, or name a --port")


def _wait_until_healthy(
    superlink: subprocess.Popen[bytes], near: str, kit: ServerKit, log: Path
) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if superlink.poll() is not None:
            raise _ended(superlink, log)
        try:
            if health.ask(near, kit.authority, 2.0, direct=True).status == 200:
                return
        except OSError:
            pass
        time.sleep(0.2)
    raise FederationError(f"the SuperLink did not start within {START_SECONDS:.0f} s; see {log}")


def _ended(superlink: subprocess.Popen[bytes], log: Path) -> FederationError:
    """Its helpers write into the same log: what they say is no reason for its being killed."""
    if superlink.returncode < 0:
        return FederationError(
            f"the SuperLink was killed by signal {-superlink.returncode}; start ucadi server again"
        )
    return FederationError(f"the SuperLink stopped by itself: {last_line(log)}; see {log}")
