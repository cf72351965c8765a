"""The sites of an experiment: a data folder opened, checked and split, before anything runs."""

import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ucadi_flwr.data.manifest import Case, by_site, read_manifest
from ucadi_flwr.data.partition import PARTS, Part, check_disjoint, deal, split_by_patient
from ucadi_flwr.errors import DataError
from ucadi_flwr.recipes.task import TaskRecipe

POOLED = "all"
"""The name of all sites' cases together, and of a model that all sites trained."""


@dataclass(frozen=True)
class Site:
    """One hospital's cases, by part, with the class index of each label."""

    name: str
    parts: dict[Part, list[Case]]
    class_of: dict[str, int]

    def labels(self, part: Part) -> list[int]:
        """The class index of every case of a part, in order."""
        return [self.class_of[case.label] for case in self.parts[part]]


def open_sites(data: Path, task: TaskRecipe, count: int | None = None) -> dict[str, Site]:
    """Site name → site, sorted by name.

    ``data`` is one folder whose manifest may have a ``site`` column, or a folder of site
    folders. ``count`` deals the patients of a folder with one site to that many.
    """
    cases = _cases(data, task)
    if count is not None and count != len(cases):
        if len(cases) != 1:
            raise DataError(
                f"{data}: has {len(cases)} sites ({', '.join(cases)}); --sites {count} can only "
                "divide a folder with one"
            )
        cases = deal(next(iter(cases.values())), count, task.split.seed)
    sites = {
        name: Site(name, split_by_patient(cases[name], task.split), task.class_of)
        for name in sorted(cases)
    }
    for site in sites.values():
        _check(site, task, data)
    check_disjoint({name: site.parts for name, site in sites.items()})
    return sites


def pooled(sites: dict[str, Site]) -> Site:
    """All sites' cases as one, for the central reference arm."""
    everything: dict[Part, list[Case]] = {
        part: [case for site in sites.values() for case in site.parts[part]] for part in PARTS
    }
    return Site(POOLED, everything, next(iter(sites.values())).class_of)


def _cases(data: Path, task: TaskRecipe) -> dict[str, list[Case]]:
    if not data.is_dir():
        raise DataError(f"{data}: no such data folder")
    folders = [data]
    if not any(data.glob("*.csv")):
        folders = sorted(p for p in data.iterdir() if p.is_dir() and any(p.glob("*.csv"))) or [data]
    return by_site(case for folder in folders for case in read_manifest(folder, task.class_of))


def check_site_name(name: str) -> str:
    """The name, if files can be called by it and it is nobody else's; else :class:`DataError`."""
    if name == POOLED or not re.fullmatch(r"\w[\w .-]{0,63}", name):
        raise DataError(
            f"a site cannot be named {name[:64]!r}: up to 64 letters, digits, spaces, '.', '-' or "
            f"'_', not '{POOLED}'"
        )
    return name


def _check(site: Site, task: TaskRecipe, data: Path) -> None:
    check_site_name(site.name)
    classes = Counter(label for part in PARTS for label in site.labels(part))
    if len(classes) == 1 and task.one_class_sites == "refuse":
        only = task.classes[next(iter(classes))]
        raise DataError(
            f"{data}: site {site.name} has images of one class only ({only}); leave the site out, "
            "or set one-class-sites: allow in the task"
        )
    for part in ("train", "test"):
        if not site.parts[part]:
            raise DataError(
                f"{data}: site {site.name} has no {part} cases; it needs two patients of a class, "
                "or a split column that names both"
            )
