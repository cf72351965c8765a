"""Open a data folder: find its sites, check them and split their cases before anything runs."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from ucadi_flwr.data.manifest import PARTS, Case, Part, by_site, read_manifest
from ucadi_flwr.data.partition import (
    Parts,
    check_disjoint,
    partition_into_sites,
    select_fold,
    split_by_patient,
)
from ucadi_flwr.errors import DataError
from ucadi_flwr.recipes.base import ALL_SITES, check_site_name
from ucadi_flwr.recipes.task import TaskRecipe


@dataclass(frozen=True)
class Division:
    """How an experiment divides a data folder, in addition to the task's split.

    Args:
        count: partition a folder of one site into this number of sites.
        hold_out: names of sites that never train; all their cases are test cases.
        folds: folds of a cross-validation; 0 for none.
        fold: the fold that validates, from 1.
    """

    count: int | None = None
    hold_out: tuple[str, ...] = ()
    folds: int = 0
    fold: int = 0


@dataclass(frozen=True)
class Site:
    """One hospital's cases by part, and the class index of each label."""

    name: str
    parts: Parts
    class_of: dict[str, int]

    @property
    def trains(self) -> bool:
        """Whether the site takes part in training; a held-out site is only tested."""
        return bool(self.parts["train"])

    @property
    def train_bytes(self) -> int:
        """Size of the training images on disk, bytes: the transfer that pooling them would need."""
        paths = [case.path for case in self.parts["train"]]
        files = [file for path in paths for file in (path.rglob("*") if path.is_dir() else [path])]
        return sum(file.stat().st_size for file in files if file.is_file())

    def labels(self, part: Part) -> list[int]:
        """The class index of every case of a part, in order."""
        return [self.class_of[case.label] for case in self.parts[part]]


def open_sites(
    data: Path,
    task: TaskRecipe,
    division: Division = Division(),
) -> dict[str, Site]:
    """Open a data folder.

    Args:
        data: one folder whose manifest may have a column ``site``, or a folder of site folders.
        task: labels, shares of the split, and whether a site may have one class only.
        division: how the experiment divides the folder.

    Returns:
        Site name → site, sorted by name.

    Raises:
        DataError: a manifest is wrong, a site has no case to train on or to test, a name cannot be
            used, a patient would be trained on at one site and tested at another, or ``division``
            does not fit the folder.
    """
    cases, count = _cases(data, task), division.count
    if count is not None and count != len(cases):
        if len(cases) != 1:
            raise DataError(
                f"{data}: has {len(cases)} sites ({', '.join(cases)}); --sites {count} can only "
                "divide a folder with one"
            )
        cases = partition_into_sites(next(iter(cases.values())), count, task.split.seed)
    if unknown := [name for name in division.hold_out if name not in cases]:
        raise DataError(f"{data}: --hold-out {unknown[0]}: the sites are {', '.join(cases)}")
    sites = {
        name: Site(name, _parts(cases[name], task, division, name), task.class_of)
        for name in sorted(cases)
    }
    for site in sites.values():
        _check(site, task, data, site.name in division.hold_out)
    if not any(site.trains for site in sites.values()):
        raise DataError(f"{data}: every site is held out; leave one to train")
    check_disjoint({name: site.parts for name, site in sites.items()})
    return sites


def pooled(sites: dict[str, Site]) -> Site:
    """The cases of all training sites as one site, for the central reference arm."""
    parts: Parts = {
        part: [case for site in sites.values() if site.trains for case in site.parts[part]]
        for part in PARTS
    }
    return Site(ALL_SITES, parts, next(iter(sites.values())).class_of)


def _parts(cases: list[Case], task: TaskRecipe, division: Division, name: str) -> Parts:
    if name in division.hold_out:
        return {"train": [], "validation": [], "test": cases}
    parts = split_by_patient(cases, task.split)
    if not division.folds:
        return parts
    parts = select_fold(parts, division.folds, division.fold, task.split.seed)
    if not parts["validation"]:
        raise DataError(f"site {name} has too few patients for {division.folds} folds")
    return parts


def _cases(data: Path, task: TaskRecipe) -> dict[str, list[Case]]:
    if not data.is_dir():
        raise DataError(f"{data}: no such data folder")
    folders = [data]
    if not any(data.glob("*.csv")):
        folders = sorted(p for p in data.iterdir() if p.is_dir() and any(p.glob("*.csv"))) or [data]
    return by_site(case for folder in folders for case in read_manifest(folder, task.class_of))


def _check(site: Site, task: TaskRecipe, data: Path, held_out: bool) -> None:
    check_site_name(site.name)
    classes = Counter(label for part in PARTS for label in site.labels(part))
    if held_out:
        return  # one class is enough for a test
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
                "or a column split with train and test"
            )
