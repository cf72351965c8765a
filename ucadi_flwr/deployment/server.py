"""``ucadi server``: a SuperLink with the kit's certificates, and the kit's sites registered."""

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from ucadi_flwr.deployment import health, roster
from ucadi_flwr.deployment.control import Control
from ucadi_flwr.deployment.kit.kits import ServerKit
from ucadi_flwr.deployment.state_folder import State, open_state
from ucadi_flwr.errors import FederationError
from ucadi_flwr.processes.children import Children, flower_environment, last_line

START_SECONDS = 120.0
LOOPBACK = "127.0.0.1"

_ALL_INTERFACES = {"0.0.0.0": LOOPBACK, "::": "[::1]"}  # noqa: S104 - compared, not bound
_THIS_MACHINE = (LOOPBACK, "localhost", "::1")


def serve(
    kit_folder: Path,
    state_folder: Path | None,
    host: str,
    port: int | None,
    say: Callable[[str], None],
) -> None:
    """Run a SuperLink until a signal ends this process.

    Args:
        kit_folder: the server's folder of the kit.
        state_folder: ``--state``; see :func:`open_state`.
        host: interface to listen at.
        port: TCP port to listen at; None is that of the kit's address.
        say: is called with one line of text for each event.

    Raises :class:`FederationError` if the SuperLink does not start or ends by itself.
    """
    kit = ServerKit.load(kit_folder)
    state = open_state(state_folder, "server", kit.authority)
    port = port or kit.address.port
    address = local_address(kit, host, port)
    log = state.log("superlink")
    with state.locked(), Children(flower_environment(state.flower)) as children:
        state.end_leftovers()
        _check_port_is_free(address, kit)
        superlink = children.start(superlink_command(kit, state, host, port), log)
        _wait_until_healthy(superlink, address, kit, log)
        control = Control(state)
        control.connect(address, kit.authority)
        say(f"server: {kit.address}, here {host}:{port}; certificate until {kit.expires:%Y-%m-%d}")
        update_registrations(kit, control, state, say)
        say(f"ready; state and logs in {state.folder}")
        while superlink.poll() is None:
            time.sleep(0.5)
        raise _end_of(superlink, log)


def local_address(kit: ServerKit, host: str, port: int) -> str:
    """``HOST:PORT`` by which this machine reaches a SuperLink that listens at ``host``.

    Raises :class:`FederationError` if the server's certificate is not valid for ``host``.
    """
    certified = [*_THIS_MACHINE, str(kit.address.host)]
    if host not in (*certified, *_ALL_INTERFACES):
        raise FederationError(
            f"--host {host}: the certificate is for {', '.join(certified)}; listen at one of "
            "them, or at 0.0.0.0 or ::"
        )
    return f"{_ALL_INTERFACES.get(host, f'[{host}]' if ':' in host else host)}:{port}"


def superlink_command(kit: ServerKit, state: State, host: str, port: int) -> list[str]:
    """``flower-superlink`` with TLS, and with authentication of the nodes."""
    return [
        *("flower-superlink", "--host", host, "--port", str(port)),
        *("--ssl-ca-certfile", str(kit.authority)),
        *("--ssl-certfile", str(kit.certificate), "--ssl-keyfile", str(kit.key)),
        *("--enable-supernode-auth", "--isolation", "subprocess"),
        *("--database", str(state.database), "--disable-runtime-dependency-installation"),
    ]


def update_registrations(
    kit: ServerKit, control: Control, state: State, say: Callable[[str], None]
) -> None:
    """Register the kit's sites that Flower does not know, and unregister those that left the kit.

    The roster is saved after every step, so that it is right if the next step fails.
    """
    registered, keys = roster.load(state.roster), roster.kit_keys(kit)
    for key in roster.leaving(keys, registered):
        control.unregister(registered[key].node)
        entry = registered.pop(key)
        roster.save(state.roster, registered)
        say(f"{entry.site}: unregistered (node {entry.node})")
    new = roster.joining(keys, registered)
    for key, site in keys.items():
        if site in new:
            node = control.register(site, kit.node_keys[site])
            registered[key] = roster.RosterEntry(site, node)
            roster.save(state.roster, registered)
        how = "registered" if site in new else "registered before"
        say(f"{site}: {how} (node {registered[key].node})")


def _check_port_is_free(address: str, kit: ServerKit) -> None:
    try:
        health.ask(address, kit.authority, 2.0, direct=True)
    except ConnectionError:
        return
    except OSError:  # such as no TLS: another program
        pass
    raise FederationError(
        f"{address}: another program listens there already; stop it, or name a --port"
    )


def _wait_until_healthy(
    superlink: subprocess.Popen[bytes], address: str, kit: ServerKit, log: Path
) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if superlink.poll() is not None:
            raise _end_of(superlink, log)
        try:
            if health.ask(address, kit.authority, 2.0, direct=True).status == 200:
                return
        except OSError:
            pass
        time.sleep(0.2)
    raise FederationError(f"the SuperLink did not start within {START_SECONDS:.0f} s; see {log}")


def _end_of(superlink: subprocess.Popen[bytes], log: Path) -> FederationError:
    """Why it ended. After a kill the log's last line is of its helper processes, and no reason."""
    if superlink.returncode < 0:
        return FederationError(
            f"the SuperLink was killed by signal {-superlink.returncode}; start ucadi server again"
        )
    return FederationError(f"the SuperLink stopped by itself: {last_line(log)}; see {log}")
