"""``ucadi site``: a SuperNode that is started again whenever it ends, as the same node."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from ucadi_flwr.deployment.kit import layout
from ucadi_flwr.deployment.kit.kits import SiteKit
from ucadi_flwr.deployment.nodelog import NodeLog
from ucadi_flwr.deployment.state import State, open_state
from ucadi_flwr.errors import DataError, FederationError
from ucadi_flwr.processes.children import Children, environment, free_port

POLL_SECONDS = 0.5

FIRST, LONGEST = 1.0, 60.0
STEADY = 120.0
"""A program that ran for so many seconds was well; what ends it then is a new misfortune."""

Say = Callable[[str], None]


def supervise(folder: Path, data: Path, state: Path | None, threads: int | None, say: Say) -> None:
    """Run until a signal comes."""
    kit = SiteKit.load(folder)
    if not data.is_dir():
        raise DataError(f"{data}: no such folder; name the site's folder with its manifest")
    place = open_state(state, f"site-{kit.name}", kit.authority)
    config = node_config(settings(kit, data.resolve(), place, threads))
    log, backoff = NodeLog(place.log("supernode")), Backoff()

    def tell(text: str) -> None:
        say(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {kit.name}: {text}")

    with (
        place.locked(),
        Children(environment(place.flower)) as children,
    ):
        place.end_leftovers()
        try:
            while True:
                begin = time.monotonic()
                process = children.start(command(kit, config, free_port()), place.log("supernode"))
                log.started()
                tell(f"node started for {kit.address}, process {process.pid}")
                while (status := process.poll()) is None:
                    _tell_all(log, tell)
                    time.sleep(POLL_SECONDS)
                _tell_all(log, tell)
                children.end(process)
                wait = backoff.after(time.monotonic() - begin)
                tell(f"node ended: {reason(status, log)}; again in {wait:.0f} s")
                time.sleep(wait)
        finally:
            tell("stopping")


def settings(kit: SiteKit, data: Path, state: State, threads: int | None) -> dict[str, str | int]:
    """What the node tells its ClientApp; nothing of it comes from the server."""
    found: dict[str, str | int] = {
        "site": kit.name,
        "data-dir": str(data),
        "cache-dir": str(state.cache),
        "memory-dir": str(state.memory),
    }
    if kit.key is not None:
        found["key"] = str(kit.folder / layout.ENCRYPTION_KEY)
    if threads is not None:
        found["threads"] = threads
    return found


def command(kit: SiteKit, config: str, port: int) -> list[str]:
    """Flower's own: TLS, and the key by which the server knows this node."""
    return [
        *("flower-supernode", "--root-certificates", str(kit.authority)),
        *("--superlink", str(kit.address)),
        *("--auth-supernode-private-key", str(kit.node_key)),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--isolation", "subprocess", "--node-config", config),
    ]


def node_config(values: Mapping[str, str | int]) -> str:
    """Flower's ``key=value`` pairs, text as TOML strings."""
    return " ".join(f"{key}={_quoted(value)}" for key, value in values.items())


def reason(status: int, log: NodeLog) -> str:
    """Why a node ended, as far as it is known."""
    if log.why:
        return log.why
    if status < 0:
        return f"killed by signal {-status}"
    if status == 0 and not log.online:
        return "it gave up without a reason; is this machine's clock right? (ucadi site --check)"
    return f"exit status {status}"


def _tell_all(log: NodeLog, tell: Say) -> None:
    for event in log.events():
        tell(event)


def _quoted(value: str | int) -> str:
    if isinstance(value, int):
        return str(value)
    if value.isprintable() and "'" not in value:
        return f"'{value}'"
    if value.isprintable() and not set(value) & set('"\\'):
        return f'"{value}"'
    raise FederationError(f"{value!r}: Flower cannot be told of such a name; rename the folder")


class Backoff:
    """1 s, 2 s, 4 s … 60 s; from the beginning again after a steady run."""

    def __init__(self) -> None:
        self._next = FIRST

    def after(self, ran: float) -> float:
        """Seconds to wait, after a run of so many seconds."""
        if ran >= STEADY:
            self._next = FIRST
        wait, self._next = self._next, min(2 * self._next, LONGEST)
        return wait
