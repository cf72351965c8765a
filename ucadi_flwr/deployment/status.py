"""``ucadi status``: which sites are there, and how far the run is."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.table import Table

from ucadi_flwr.deployment import lastrun, roster
from ucadi_flwr.deployment.control import Control, Node
from ucadi_flwr.deployment.kit.kits import ServerKit
from ucadi_flwr.deployment.lastrun import LastRun, RunProgress
from ucadi_flwr.deployment.roster import Roster
from ucadi_flwr.deployment.state import open_state
from ucadi_flwr.errors import FederationError


@dataclass(frozen=True)
class SiteStatus:
    """A site of the kit. ``status``: online, offline, registered (never seen), or unknown."""

    site: str
    node: str
    status: str
    since: str


@dataclass(frozen=True)
class Status:
    """What is known; ``problem`` says why the SuperLink could not be asked."""

    server: str
    problem: str
    sites: list[SiteStatus]
    run: LastRun | None
    course: RunProgress | None

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {"schema_version": 1, **asdict(self)}


def status(folder: Path, state: Path | None) -> Status:
    """Ask the SuperLink, and read the last run's journal."""
    kit = ServerKit.load(folder)
    place = open_state(state, "server", kit.authority)
    nodes: dict[str, Node] = {}
    problem = ""
    try:
        nodes = Control(place).nodes()
    except FederationError as error:
        problem = str(error)
    run = lastrun.load(place.last_run)
    return Status(
        server=str(kit.address),
        problem=problem,
        sites=site_rows(roster.kit_keys(kit), roster.load(place.roster), nodes),
        run=run,
        course=lastrun.course(run) if run else None,
    )


def site_rows(
    keys: Mapping[str, str], known: Roster, nodes: Mapping[str, Node]
) -> list[SiteStatus]:
    """One row a site of the kit, in the kit's order."""
    rows = []
    for key, site in keys.items():
        node = nodes.get(known[key].node) if key in known else None
        number = known[key].node if key in known else ""
        found = node.status if node else "unknown"
        since = ""
        if node and found in ("online", "offline"):
            since = node.online_at if found == "online" else node.offline_at
        rows.append(SiteStatus(site, number, found, since))
    return rows


def table(found: Status) -> Table:
    """For a terminal."""
    shown = Table("site", "status", "since", "node", title=f"federation at {found.server}")
    for row in found.sites:
        shown.add_row(row.site, row.status, row.since or "–", row.node or "–")
    return shown


def run_line(found: Status) -> str:
    """The last run in one line."""
    if found.run is None or found.course is None:
        return "no run was submitted yet"
    run, course = found.run, found.course
    rounds = f" · round {course.round}/{course.rounds}" if course.rounds else ""
    error = f" · last error: {course.last_error}" if course.last_error else ""
    return (
        f"run {run.run} · {run.task} × {run.strategy} · {course.state}{rounds} · {run.out}{error}"
    )
