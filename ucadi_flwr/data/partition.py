"""Partition patients: a site's into training, validation and test; one folder's into sites.

All cases of a patient stay together. Patients are ordered by a hash of their keys, so that the
result does not depend on the order of the manifest. A new patient moves few of the others in a
split. Folds and sites are assigned in turn, so that there it moves all patients after it.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping

from ucadi_flwr.data.manifest import PARTS, Case, Part
from ucadi_flwr.errors import DataError
from ucadi_flwr.recipes.task import Split

Parts = dict[Part, list[Case]]


def split_by_patient(cases: Iterable[Case], split: Split) -> Parts:
    """Divide a site's cases into training, validation and test, patient by patient.

    If the manifest has splits, these are used. Otherwise the patients of each label are divided
    (a patient has the label of its first case), and the shares are rounded. A label with at least
    two patients gives at least one to the test and keeps at least one for training.

    Args:
        cases: the cases of one site.
        split: the recipe's shares, and the seed of the patients' order.

    Returns:
        Part → its cases, in their order in ``cases``.

    >>> from pathlib import Path
    >>> cases = [
    ...     Case(f"scan{i}", Path(f"scan{i}.png"), "covid", f"patient{i // 2}", "site", None)
    ...     for i in range(8)  # four patients with two scans each
    ... ]
    >>> parts = split_by_patient(cases, Split(test=0.25, validation=0.25))
    >>> {part: sorted({case.patient for case in parts[part]}) for part in parts}
    {'train': ['patient0', 'patient3'], 'validation': ['patient2'], 'test': ['patient1']}
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


def select_fold(parts: Mapping[Part, list[Case]], folds: int, fold: int, seed: int) -> Parts:
    """One fold of a cross-validation: it validates, the other folds train, the test part stays.

    The patients of each label are assigned to the folds in turn.

    Args:
        parts: a site's parts; training and validation are pooled and divided again.
        folds: the number of folds.
        fold: the fold that validates, from 1.
        seed: of the patients' order.
    """
    pool = [*parts["train"], *parts["validation"]]
    fold_of: dict[str, int] = {}
    for patients in _patients_by_label(pool, seed).values():
        for patient in patients:
            fold_of[patient] = len(fold_of) % folds + 1
    return {
        "train": [case for case in pool if fold_of[case.patient] != fold],
        "validation": [case for case in pool if fold_of[case.patient] == fold],
        "test": list(parts["test"]),
    }


def partition_into_sites(cases: Iterable[Case], sites: int, seed: int) -> dict[str, list[Case]]:
    """Divide one folder's patients among ``site-1`` … ``site-N``, label by label, in turn.

    Args:
        cases: the cases of the folder.
        sites: N, the number of sites.
        seed: of the patients' order.

    Returns:
        Site name → its cases.

    Raises:
        DataError: there are fewer patients than sites.
    """
    cases = list(cases)
    site_of: dict[str, str] = {}
    for patients in _patients_by_label(cases, seed).values():
        for patient in patients:
            site_of[patient] = f"site-{len(site_of) % sites + 1}"
    if len(site_of) < sites:
        raise DataError(
            f"{len(site_of)} patients cannot be divided among {sites} sites; ask for fewer sites"
        )
    of_site: dict[str, list[Case]] = {f"site-{i + 1}": [] for i in range(sites)}
    for case in cases:
        of_site[site_of[case.patient]].append(case)
    return of_site


def check_disjoint(parts: Mapping[str, Mapping[Part, Iterable[Case]]]) -> None:
    """Check that a patient who is at several sites is in the same part at all of them.

    Raises:
        DataError: a patient is, for example, in training at one site and in the test at another.
    """
    seen: dict[str, tuple[str, Part]] = {}
    for site, by_part in parts.items():
        for part, cases in by_part.items():
            for patient in {case.patient for case in cases}:
                other_site, other = seen.setdefault(patient, (site, part))
                if other != part:
                    raise DataError(
                        f"patient '{patient}' is in {other} at site {other_site} and in {part} at "
                        f"site {site}: give both rows the same split in the manifest"
                    )


def _patients_by_label(cases: Iterable[Case], seed: int) -> dict[str, list[str]]:
    """Label → its patients in the order of their hashes; labels are sorted."""
    label_of: dict[str, str] = {}
    for case in sorted(cases, key=lambda case: (case.patient, case.name)):
        label_of.setdefault(case.patient, case.label)
    groups: dict[str, list[str]] = defaultdict(list)
    for patient in sorted(label_of, key=lambda patient: _rank(patient, seed)):
        groups[label_of[patient]].append(patient)
    return {label: groups[label] for label in sorted(groups)}


def _rank(patient: str, seed: int) -> bytes:
    return hashlib.sha256(f"{seed}/{patient}".encode()).digest()
