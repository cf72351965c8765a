"""Who learns from which patients: splits within a site, and one folder dealt to several sites.

A patient is never divided. The order of the patients comes from a hash of their keys, so that a
split does not depend on the order of the manifest, and a new patient does not move the others.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Literal

from ucadi_flwr.data.manifest import Case
from ucadi_flwr.errors import DataError
from ucadi_flwr.recipes.task import Split

Part = Literal["train", "validation", "test"]
Parts = dict[Part, list[Case]]
PARTS: tuple[Part, ...] = ("train", "validation", "test")


def split_by_patient(cases: Iterable[Case], split: Split) -> dict[Part, list[Case]]:
    """Divide a site's cases; a split in the manifest wins over the recipe's shares.

    Within each label (a patient counts under its first case's) the shares are rounded, but a
    label with two patients or more gives at least one to the test and keeps one for training.
    """
    cases = list(cases)
    if any(case.split for case in cases):
        return {part: [case for case in cases if case.split == part] for part in PARTS}
    part_of: dict[str, Part] = {}
    for patients in _patients_by_label(cases, split.seed).values():
        n = len(patients)
        test = min(max(round(n * split.test), 1), n - 1)
        validation = min(round(n * split.validation), n - 1 - test)
        for i, patient in enumerate(patients):
            part_of[patient] = (
                "test" if i < test else "validation" if i < test + validation else "train"
            )
    return {part: [c for c in cases if part_of[c.patient] == part] for part in PARTS}


def fold_of(parts: Mapping[Part, list[Case]], folds: int, fold: int, seed: int) -> Parts:
    """Cross-validation: of what is not tested, fold ``fold`` (from 1) validates, the rest trains.

    Patients of each label are dealt to the folds in turn; the test part stays as it is.
    """
    rest = [*parts["train"], *parts["validation"]]
    number: dict[str, int] = {}
    for patients in _patients_by_label(rest, seed).values():
        for patient in patients:
            number[patient] = len(number) % folds + 1
    return {
        "train": [case for case in rest if number[case.patient] != fold],
        "validation": [case for case in rest if number[case.patient] == fold],
        "test": list(parts["test"]),
    }


def deal(cases: Iterable[Case], sites: int, seed: int) -> dict[str, list[Case]]:
    """Deal one folder's patients to ``site-1`` … ``site-N``, label by label, in turn."""
    cases = list(cases)
    site_of: dict[str, str] = {}
    turn = 0
    for patients in _patients_by_label(cases, seed).values():
        for patient in patients:
            site_of[patient] = f"site-{turn % sites + 1}"
            turn += 1
    if turn < sites:
        raise DataError(f"{turn} patients cannot be dealt to {sites} sites; ask for fewer")
    dealt: dict[str, list[Case]] = {f"site-{i + 1}": [] for i in range(sites)}
    for case in cases:
        dealt[site_of[case.patient]].append(case)
    return dealt


def check_disjoint(parts: Mapping[str, Mapping[Part, Iterable[Case]]]) -> None:
    """Raise :class:`DataError` if a patient is trained on at one site and tested at another."""
    seen: dict[str, tuple[str, Part]] = {}
    for site, by_part in parts.items():
        for part, cases in by_part.items():
            for patient in {case.patient for case in cases}:
                where, other = seen.setdefault(patient, (site, part))
                if other != part:
                    raise DataError(
                        f"patient '{patient}' is in {other} at site {where} and in {part} at site "
                        f"{site}: give both rows the same split in the manifest"
                    )


def _patients_by_label(cases: Iterable[Case], seed: int) -> dict[str, list[str]]:
    label_of: dict[str, str] = {}
    for case in sorted(cases, key=lambda case: (case.patient, case.name)):
        label_of.setdefault(case.patient, case.label)
    groups: dict[str, list[str]] = defaultdict(list)
    for patient in sorted(label_of, key=lambda patient: _rank(patient, seed)):
        groups[label_of[patient]].append(patient)
    return {label: groups[label] for label in sorted(groups)}


def _rank(patient: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}/{patient}".encode()).digest()
