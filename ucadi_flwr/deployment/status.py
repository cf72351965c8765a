"""``ucadi status``: which sites are online, and how far the last run is."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from ucadi_flwr.deployment import last_run, roster
from ucadi_flwr.deployment.control import Control, Node
from ucadi_flwr.deployment.kit.kits import ServerKit
from ucadi_flwr.deployment.last_run import LastRun, RunProgress
from ucadi_flwr.deployment.roster import Roster
from ucadi_flwr.deployment.state_folder import open_state
from ucadi_flwr.errors import FederationError


@dataclass(frozen=True)
class SiteStatus:
    """A site of the kit. ``status``: online, offline, registered (never seen), or unknown."""

    site: str
    node: str
    status: str
    since: str


@dataclass(frozen=True)
class FederationStatus:
    """The sites and the last run, with its progress as ``course``, which is the key in JSON too.

    ``problem`` says why the SuperLink did not answer; empty if it did.
    """

    server: str
    problem: str
    sites: list[SiteStatus]
    run: LastRun | None
    course: RunProgress | None

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {"schema_version": 1, **asdict(self)}


def read_status(kit_folder: Path, state_folder: Path | None) -> FederationStatus:
    """Ask the SuperLink for its nodes, and read the last run's journal.

    Args:
        kit_folder: the server's folder of the kit.
        state_folder: ``--state`` of ``ucadi server``; see :func:`open_state`.

    A SuperLink that does not answer is no error: its ``problem`` is in the result.
    """
    kit = ServerKit.load(kit_folder)
    state = open_state(state_folder, "server", kit.authority)
    nodes: dict[str, Node] = {}
    problem = ""
    try:
        nodes = Control(state).nodes()
    except FederationError as error:
        problem = str(error)
    run = last_run.load(state.last_run)
    return FederationStatus(
        server=str(kit.address),
        problem=problem,
        sites=site_rows(roster.kit_keys(kit), roster.load(state.roster), nodes),
        run=run,
        course=last_run.read_progress(run) if run else None,
    )


def site_rows(
    keys: Mapping[str, str], registered: Roster, nodes: Mapping[str, Node]
) -> list[SiteStatus]:
    """One row for each site of the kit, in the kit's order.

    Args:
        keys: fingerprint of the node's key → site.
        registered: fingerprint of the node's key → node, as the server recorded it.
        nodes: node id → node, as Flower lists them.
    """
    rows = []
    for key, site in keys.items():
        number = registered[key].node if key in registered else ""
        node = nodes.get(number)
        since = {"online": node.online_at, "offline": node.offline_at} if node else {}
        status = node.status if node else "unknown"
        rows.append(SiteStatus(site, number, status, since.get(status, "")))
    return rows


def sites_table(status: FederationStatus) -> Table:
    """The sites as a table for a terminal."""
    table = Table("site", "status", "since", "node", title=f"federation at {status.server}")
    for row in status.sites:
        table.add_row(row.site, row.status, row.since or "–", row.node or "–")
    return table


def run_line(status: FederationStatus) -> str:
    """The last run in one line."""
    if status.run is None or status.course is None:
        return "no run was submitted yet"
    run, progress = status.run, status.course
    rounds = f" · round {progress.round}/{progress.rounds}" if progress.rounds else ""
    error = f" · last error: {progress.last_error}" if progress.last_error else ""
    return (
        f"run {run.run} · {run.task} × {run.strategy} · {progress.state}{rounds} · {run.out}{error}"
    )
