"""``ucadi site``: a SuperNode that is started again whenever it ends, as the same node."""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from ucadi_flwr.deployment.kit import file_names
from ucadi_flwr.deployment.kit.kits import SiteKit
from ucadi_flwr.deployment.node_log import NodeLog
from ucadi_flwr.deployment.state_folder import State, open_state
from ucadi_flwr.errors import DataError, FederationError
from ucadi_flwr.processes.children import Children, flower_environment, free_port

_POLL_SECONDS = 0.5

FIRST_WAIT, LONGEST_WAIT = 1.0, 60.0
STEADY_SECONDS = 120.0
"""After a run of so many seconds the next failure counts as a new one."""


def supervise(
    kit_folder: Path,
    data: Path,
    state_folder: Path | None,
    threads: int | None,
    say: Callable[[str], None],
) -> None:
    """Keep a SuperNode running until a signal ends this process.

    Args:
        kit_folder: the site's folder of the kit.
        data: folder of the site's images, with their manifest.
        state_folder: ``--state``; see :func:`open_state`.
        threads: processor threads for training; None is all.
        say: is called with one line of text for each event.

    Raises :class:`DataError` if there is no folder ``data``, :class:`FederationError` if the kit or
    the state folder cannot be used.
    """
    kit = SiteKit.load(kit_folder)
    if not data.is_dir():
        raise DataError(f"{data}: no such folder; name the site's folder with its manifest")
    state = open_state(state_folder, f"site-{kit.name}", kit.authority)
    config = node_config(node_settings(kit, data.resolve(), state, threads))
    output, backoff = state.log("supernode"), Backoff()
    log = NodeLog(output)

    def say_event(text: str) -> None:
        say(f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ} {kit.name}: {text}")

    with state.locked(), Children(flower_environment(state.flower)) as children:
        state.end_leftovers()
        try:
            while True:
                begin = time.monotonic()
                process = children.start(supernode_command(kit, config, free_port()), output)
                log.process_started()
                say_event(f"node started for {kit.address}, process {process.pid}")
                while (status := process.poll()) is None:
                    _say_all(log, say_event)
                    time.sleep(_POLL_SECONDS)
                _say_all(log, say_event)
                children.end(process)
                wait = backoff.next_wait(time.monotonic() - begin)
                say_event(f"node ended: {end_reason(status, log)}; again in {wait:.0f} s")
                time.sleep(wait)
        finally:
            say_event("stopping")


def node_settings(
    kit: SiteKit, data: Path, state: State, threads: int | None
) -> dict[str, str | int]:
    """The settings that the node passes to its ClientApp; none of them comes from the server."""
    settings: dict[str, str | int] = {
        "site": kit.name,
        "data-dir": str(data),
        "cache-dir": str(state.cache),
        "memory-dir": str(state.memory),
    }
    if kit.key is not None:
        settings["key"] = str(kit.folder / file_names.ENCRYPTION_KEY)
    if threads is not None:
        settings["threads"] = threads
    return settings


def supernode_command(kit: SiteKit, config: str, port: int) -> list[str]:
    """``flower-supernode`` with TLS, and with the key by which the server knows this node."""
    return [
        *("flower-supernode", "--root-certificates", str(kit.authority)),
        *("--superlink", str(kit.address)),
        *("--auth-supernode-private-key", str(kit.node_key)),
        *("--host", "127.0.0.1", "--port", str(port)),
        *("--isolation", "subprocess", "--node-config", config),
    ]


def node_config(values: Mapping[str, str | int]) -> str:
    """Settings as Flower's ``key=value`` pairs, text as TOML strings.

    Raises :class:`FederationError` for text that these strings cannot hold.

    >>> node_config({"site": "north", "threads": 2})
    "site='north' threads=2"
    """
    return " ".join(f"{key}={_quoted(value)}" for key, value in values.items())


def end_reason(status: int, log: NodeLog) -> str:
    """Why a node ended, from its exit status and its log."""
    if log.exit_reason:
        return log.exit_reason
    if status < 0:
        return f"killed by signal {-status}"
    if status == 0 and not log.online:
        return "no reason given; is this machine's clock right? (ucadi site --check)"
    return f"exit status {status}"


class Backoff:
    """Waits between two starts: 1 s, 2 s, 4 s … 60 s; from 1 s again after a long run.

    >>> backoff = Backoff()
    >>> [backoff.next_wait(ran) for ran in (3, 3, 3, 500, 3)]
    [1.0, 2.0, 4.0, 1.0, 2.0]
    """

    def __init__(self) -> None:
        self._next = FIRST_WAIT

    def next_wait(self, ran: float) -> float:
        """Seconds to wait after a program that ran for ``ran`` seconds."""
        if ran >= STEADY_SECONDS:
            self._next = FIRST_WAIT
        wait, self._next = self._next, min(2 * self._next, LONGEST_WAIT)
        return wait


def _say_all(log: NodeLog, say: Callable[[str], None]) -> None:
    for event in log.events():
        say(event)


def _quoted(value: str | int) -> str:
    if isinstance(value, int):
        return str(value)
    if value.isprintable() and "'" not in value:
        return f"'{value}'"
    if value.isprintable() and not set(value) & set('"\\'):
        return f'"{value}"'
    raise FederationError(f"{value!r}: Flower cannot be given such a name; rename the folder")
