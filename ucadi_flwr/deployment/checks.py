"""``ucadi site --check``: what is in order at a site and what is not, before anybody trains."""

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
from ucadi_flwr.deployment.health import HealthReply
from ucadi_flwr.deployment.kit.kits import SiteKit
from ucadi_flwr.errors import DataError, UcadiError
from ucadi_flwr.protection.keys import NO_KEY
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.loader import Recipe
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe

AHEAD, BEHIND = 5.0, 305.0
"""Seconds by which Flower lets a node's clock differ from the server's."""

FREE_BYTES = 2 * 2**30
"""Free space below which preprocessed images and models may not fit."""


@dataclass(frozen=True)
class CheckResult:
    """The result of one check; ``ok`` is None where there was nothing to check."""

    subject: str
    ok: bool | None
    detail: str


def check_site(
    kit_folder: Path, data: Path, state_folder: Path | None, task: str | None, strategy: str | None
) -> list[CheckResult]:
    """Run every check; one that fails does not stop the others.

    Args:
        kit_folder: the site's folder of the kit.
        data: folder of the site's images, with their manifest.
        state_folder: where caches are kept; the account's home folder is checked if None.
        task: name or file of a task recipe; without one the images are not read.
        strategy: name or file of a strategy recipe; without one any key is right.
    """
    results = []
    kit: SiteKit | None = None
    try:
        kit = SiteKit.load(kit_folder)
        results.append(CheckResult("kit", True, f"site {kit.name}, server {kit.address}"))
    except UcadiError as error:
        results.append(CheckResult("kit", False, str(error)))
    results += check_recipes(data, kit, task, strategy)
    results.append(check_disk(state_folder or Path.home()))
    if kit is not None:
        results += check_server(kit)
    return results


def check_recipes(
    data: Path, kit: SiteKit | None, task: str | None, strategy: str | None
) -> list[CheckResult]:
    """The recipes, the images as the task reads them, and the key that the strategy needs."""
    results, scheme = [], None
    if task is None:
        results.append(_check_folder(data))
    else:
        task_recipe, result = _load_recipe("task", TaskRecipe, task)
        results.append(result)
        if task_recipe is not None:
            results.append(check_images(data, task_recipe))
    if strategy is not None:
        strategy_recipe, result = _load_recipe("strategy", StrategyRecipe, strategy)
        results.append(result)
        scheme = strategy_recipe.protection.scheme if strategy_recipe else None
    if kit is not None:
        results.append(check_key(kit, scheme))
    return results


def check_images(data: Path, task: TaskRecipe) -> CheckResult:
    """Whether the folder is one site's and every file is readable; the number of cases by class."""
    try:
        sites = open_sites(data, task)
        if len(sites) != 1:
            raise DataError(f"{data}: has {len(sites)} sites; a node is one site")
        (site,) = sites.values()
        unreadable = [
            case.path for part in PARTS for case in site.parts[part] if not _readable(case.path)
        ]
    except (UcadiError, OSError) as error:
        return CheckResult("images", False, str(error))
    if unreadable:
        more = f" and {len(unreadable) - 1} others" if len(unreadable) > 1 else ""
        return CheckResult(
            "images", False, f"{unreadable[0]}{more}: cannot be read; correct the permissions"
        )
    return CheckResult("images", True, describe_cases(site, task.classes))


def describe_cases(site: Site, classes: tuple[str, ...]) -> str:
    """Cases by part and class: ``train 12 (6 left, 6 right) · test 4 (…)``."""
    parts = []
    for part in PARTS:
        counts = Counter(site.labels(part))
        if total := counts.total():
            by_class = ", ".join(f"{counts[i]} {name}" for i, name in enumerate(classes))
            parts.append(f"{part} {total} ({by_class})")
    return " · ".join(parts)


def check_key(kit: SiteKit, scheme: str | None) -> CheckResult:
    """The encryption key's scheme and id, and whether the strategy's ``scheme`` can use it."""
    needed = scheme not in (None, NO_KEY.scheme)
    if kit.key is None:
        detail = f"none, and the strategy needs {scheme}" if needed else "none"
        return CheckResult("key", not needed, detail)
    detail = f"{kit.key.scheme}, id {kit.key.key_id.hex()}"
    if needed and scheme != kit.key.scheme:
        return CheckResult("key", False, f"{detail}; the strategy needs {scheme}")
    return CheckResult("key", True, detail)


def check_disk(folder: Path) -> CheckResult:
    """Free space where the caches are, or will be."""
    while not folder.exists():
        folder = folder.absolute().parent
    free = shutil.disk_usage(folder).free
    detail = f"{free / 2**30:.1f} GiB free at {folder}"
    if free < FREE_BYTES:
        return CheckResult("disk", False, f"{detail}; {FREE_BYTES / 2**30:.0f} GiB are needed")
    return CheckResult("disk", True, detail)


def check_server(kit: SiteKit) -> list[CheckResult]:
    """Whether the server answers with the kit's certificate, and whether the clocks agree."""
    try:
        reply = health.ask(str(kit.address), kit.authority)
    except OSError as error:
        return [CheckResult("server", False, describe_failure(kit, error)), check_clock(None)]
    return [check_reply(kit, reply), check_clock(reply.clock_ahead)]


def check_reply(kit: SiteKit, reply: HealthReply) -> CheckResult:
    """Any status below 500 is right: a proxy for Flower's fleet service may refuse ``/health``."""
    if reply.status >= 500:
        return CheckResult(
            "server", False, f"{kit.address}: a proxy answers, but no server behind it"
        )
    how = "" if reply.status == 200 else f", through a proxy (status {reply.status})"
    return CheckResult("server", True, f"{kit.address} answers over TLS{how}")


def describe_failure(kit: SiteKit, error: OSError) -> str:
    """Why the server did not reply; a wrong certificate is more serious than no answer."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"{kit.address}: the certificate is not from this kit's authority "
            f"({error.verify_message}); do not continue, ask the person who made the kit"
        )
    return f"{kit.address}: no answer ({error.strerror or error})"


def check_clock(ahead: float | None) -> CheckResult:
    """Seconds that our clock is ahead of the server's, against what Flower accepts."""
    if ahead is None:
        return CheckResult("clock", None, "the server did not send its time")
    size = abs(ahead)
    if size < 1.5:
        return CheckResult("clock", True, "agrees with the server's")
    detail = f"your clock is {size:.0f} s {'ahead' if ahead > 0 else 'behind'}"
    if -BEHIND < ahead < AHEAD:
        return CheckResult("clock", True, detail)
    return CheckResult("clock", False, f"{detail}; set it, or Flower refuses this node")


def all_ok(results: Iterable[CheckResult]) -> bool:
    """Whether nothing is wrong; what was not checked does not count."""
    return all(result.ok is not False for result in results)


def results_table(results: Iterable[CheckResult]) -> Table:
    """The results as a table for a terminal."""
    table = Table("", "check", "result")
    for result in results:
        mark = {True: "[green]ok", False: "[red]WRONG", None: "–"}[result.ok]
        table.add_row(mark, result.subject, result.detail.replace("[", "\\["))
    return table


def _check_folder(data: Path) -> CheckResult:
    if data.is_dir():
        return CheckResult("images", None, "not read: name a --task")
    return CheckResult("images", False, f"{data}: no such folder")


def _load_recipe(subject: str, kind: type[Recipe], name: str) -> tuple[Recipe | None, CheckResult]:
    try:
        recipe = loader.load(kind, name)
    except UcadiError as error:
        return None, CheckResult(subject, False, str(error))
    return recipe, CheckResult(subject, True, f"{recipe.name}, digest {loader.digest(recipe)}")


def _readable(path: Path) -> bool:
    files = [p for p in path.rglob("*") if p.is_file()] if path.is_dir() else [path]
    return bool(files) and all(os.access(file, os.R_OK) for file in files)
