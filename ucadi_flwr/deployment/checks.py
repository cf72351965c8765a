"""``ucadi site --check``: what is fine at a site and what is not, before anybody trains."""

import os
import shutil
import ssl
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from ucadi_flwr.data.manifest import PARTS
from ucadi_flwr.data.sites import Site, open_sites
from ucadi_flwr.deployment import health
from ucadi_flwr.deployment.health import Answer
from ucadi_flwr.deployment.kit.kits import SiteKit
from ucadi_flwr.errors import DataError, UcadiError
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe

AHEAD, BEHIND = 5.0, 305.0
"""Seconds by which Flower lets a node's clock differ from the server's."""

FREE_BYTES = 2 * 2**30
"""Less free space than this is no room for images made ready and for models."""


@dataclass(frozen=True)
class Row:
    """One thing that was looked at; ``fine`` is None where there was nothing to look at."""

    what: str
    fine: bool | None
    found: str


def check(
    folder: Path, data: Path, state: Path | None, task: str | None, strategy: str | None
) -> list[Row]:
    """Look at everything, and go on after what is wrong."""
    rows = []
    kit: SiteKit | None = None
    try:
        kit = SiteKit.load(folder)
        rows.append(Row("kit", True, f"site {kit.name}, server {kit.address}"))
    except UcadiError as error:
        rows.append(Row("kit", False, str(error)))
    rows += recipe_rows(data, kit, task, strategy)
    rows.append(disk_row(state or Path.home()))
    if kit is not None:
        rows += server_rows(kit)
    return rows


def recipe_rows(
    data: Path, kit: SiteKit | None, task: str | None, strategy: str | None
) -> list[Row]:
    """The images as the task sees them, the recipes, and the key that the strategy asks for."""
    rows = []
    if task is None:
        there = data.is_dir()
        found = "not read: name a --task" if there else f"{data}: no such folder"
        rows.append(Row("images", None if there else False, found))
    else:
        try:
            recipe = loader.load(TaskRecipe, task)
            rows.append(Row("task", True, f"{recipe.name}, digest {loader.digest(recipe)}"))
        except UcadiError as error:
            rows.append(Row("task", False, str(error)))
        else:
            rows.append(data_row(data, recipe))
    scheme = None
    if strategy is not None:
        try:
            found_strategy = loader.load(StrategyRecipe, strategy)
            scheme = found_strategy.protection.scheme
            digest = loader.digest(found_strategy)
            rows.append(Row("strategy", True, f"{found_strategy.name}, digest {digest}"))
        except UcadiError as error:
            rows.append(Row("strategy", False, str(error)))
    if kit is not None:
        rows.append(key_row(kit, scheme))
    return rows


def data_row(data: Path, task: TaskRecipe) -> Row:
    """Whether the folder is one site's, and every file can be read; how many of what class."""
    try:
        sites = open_sites(data, task)
        if len(sites) != 1:
            raise DataError(f"{data}: has {len(sites)} sites; a node is one site")
        (site,) = sites.values()
        unreadable = [
            case.path for part in PARTS for case in site.parts[part] if not _readable(case.path)
        ]
    except (UcadiError, OSError) as error:
        return Row("images", False, str(error))
    if unreadable:
        more = f" and {len(unreadable) - 1} others" if len(unreadable) > 1 else ""
        return Row("images", False, f"{unreadable[0]}{more}: cannot be read; mend the rights")
    return Row("images", True, describe(site, task.classes))


def describe(site: Site, classes: tuple[str, ...]) -> str:
    """Cases by part and class: ``train 12 (6 left, 6 right) · test 4 (…)``."""
    parts = []
    for part in PARTS:
        counts = Counter(site.labels(part))
        if total := counts.total():
            by_class = ", ".join(f"{counts[i]} {name}" for i, name in enumerate(classes))
            parts.append(f"{part} {total} ({by_class})")
    return " · ".join(parts)


def key_row(kit: SiteKit, scheme: str | None) -> Row:
    """The encryption key's id and scheme, and whether the strategy can use it."""
    if kit.key is None:
        fine = scheme in (None, "none")
        return Row("key", fine, "none" if fine else f"none, and the strategy needs {scheme}")
    found = f"{kit.key.scheme}, id {kit.key.key_id.hex()}"
    if scheme not in (None, "none", kit.key.scheme):
        return Row("key", False, f"{found}; the strategy needs {scheme}")
    return Row("key", True, found)


def disk_row(folder: Path) -> Row:
    """Free space where the caches are, or will be."""
    while not folder.exists():
        folder = folder.absolute().parent
    free = shutil.disk_usage(folder).free
    found = f"{free / 2**30:.1f} GiB free at {folder}"
    if free < FREE_BYTES:
        return Row("disk", False, f"{found}; {FREE_BYTES / 2**30:.0f} GiB are needed")
    return Row("disk", True, found)


def server_rows(kit: SiteKit) -> list[Row]:
    """Whether the server answers as the one that the kit knows, and whether the clocks agree."""
    try:
        answer = health.ask(str(kit.address), kit.authority)
    except OSError as error:
        return [Row("server", False, unreachable(kit, error)), clock_row(None)]
    return [server_row(kit, answer), clock_row(answer.ahead)]


def server_row(kit: SiteKit, answer: Answer) -> Row:
    """A proxy that lets sites through to Flower's fleet service only may refuse ``/health``."""
    if answer.status >= 500:
        return Row("server", False, f"{kit.address}: a proxy answers, no server behind it does")
    how = "" if answer.status == 200 else f", through a proxy (status {answer.status})"
    return Row("server", True, f"{kit.address} answers over TLS{how}")


def unreachable(kit: SiteKit, error: OSError) -> str:
    """Why there was no answer; a wrong certificate is another matter than none."""
    reason = getattr(error, "reason", error)
    if isinstance(reason, ssl.SSLCertVerificationError):
        return (
            f"{kit.address}: the certificate is not the one this kit knows "
            f"({reason.verify_message}); do not go on, ask who made the kit"
        )
    return f"{kit.address}: no answer ({getattr(reason, 'strerror', None) or reason})"


def clock_row(ahead: float | None) -> Row:
    """Our clock against the server's."""
    if ahead is None:
        return Row("clock", None, "the server did not say what time it has")
    size = abs(ahead)
    if size < 1.5:
        return Row("clock", True, "agrees with the server's")
    found = f"your clock is {size:.0f} s {'ahead' if ahead > 0 else 'behind'}"
    if -BEHIND < ahead < AHEAD:
        return Row("clock", True, found)
    return Row("clock", False, f"{found}; set it, or Flower turns this node away")


def all_fine(rows: Iterable[Row]) -> bool:
    """Nothing is wrong; what was not looked at does not count."""
    return all(row.fine is not False for row in rows)


def table(rows: Iterable[Row]) -> Table:
    """For a terminal."""
    shown = Table("", "what", "found")
    for row in rows:
        mark = {True: "[green]ok", False: "[red]WRONG", None: "–"}[row.fine]
        shown.add_row(mark, row.what, row.found.replace("[", "\\["))
    return shown


def _readable(path: Path) -> bool:
    files = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
    return bool(files) and all(os.access(file, os.R_OK) for file in files)
