"""Partitions keep patients together, ignore the order, and have every label in each part."""

from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ucadi_flwr.data.manifest import PARTS, Case
from ucadi_flwr.data.partition import Parts, check_disjoint, partition_into_sites, split_by_patient
from ucadi_flwr.errors import DataError
from ucadi_flwr.recipes.task import Split


def case(name: str, patient: str, label: str = "a", split: str | None = None) -> Case:
    return Case(name=name, path=Path(name), label=label, patient=patient, site="s", split=split)


COHORTS = st.lists(
    st.tuples(st.integers(0, 30), st.sampled_from("ab")), min_size=4, max_size=80
).map(lambda rows: [case(f"c{i}", f"p{p}", label) for i, (p, label) in enumerate(rows)])


@given(COHORTS, st.randoms())
def test_patients_stay_together_and_order_does_not_matter(
    cases: list[Case], random: Random
) -> None:
    parts = split_by_patient(cases, Split(test=0.3, validation=0.2))
    shuffled = list(cases)
    random.shuffle(shuffled)
    again = split_by_patient(shuffled, Split(test=0.3, validation=0.2))
    assert sorted(c.name for part in PARTS for c in parts[part]) == sorted(c.name for c in cases)
    where: dict[str, str] = {}
    for part in PARTS:
        assert {c.name for c in parts[part]} == {c.name for c in again[part]}
        for c in parts[part]:
            assert where.setdefault(c.patient, part) == part


def test_the_shares_apply_within_each_label() -> None:
    cases = [case(f"{label}{i}", f"{label}{i}", label) for label in "ab" for i in range(50)]
    parts = split_by_patient(cases, Split(test=0.2, validation=0.1))
    for label in "ab":
        sizes = [sum(c.label == label for c in parts[part]) for part in PARTS]
        assert sizes == [35, 5, 10]


def test_two_patients_of_a_label_give_one_to_each_side() -> None:
    parts = split_by_patient([case("a", "p"), case("b", "q")], Split(test=0.01))
    assert [len(parts[part]) for part in PARTS] == [1, 0, 1]


def test_a_single_patient_is_in_training() -> None:
    parts = split_by_patient([case("a", "p"), case("b", "p")], Split(test=0.9))
    assert [len(parts[part]) for part in PARTS] == [2, 0, 0]


def test_a_different_seed_gives_a_different_split() -> None:
    cases = [case(f"c{i}", f"p{i}") for i in range(40)]
    first, second = (
        {c.name for c in split_by_patient(cases, Split(seed=seed))["test"]} for seed in (0, 1)
    )
    assert first != second


def test_the_manifest_s_split_has_priority() -> None:
    cases = [case("a", "p", split="test"), case("b", "q", split="train")]
    parts = split_by_patient(cases, Split())
    assert [[c.name for c in parts[part]] for part in PARTS] == [["b"], [], ["a"]]


def test_a_partition_into_sites_is_even_by_label_and_by_patient() -> None:
    cases = [case(f"{label}{i}", f"{label}{i // 2}", label) for label in "ab" for i in range(24)]
    of_site = partition_into_sites(cases, 3, seed=0)
    assert list(of_site) == ["site-1", "site-2", "site-3"]
    for cases_there in of_site.values():
        assert [sum(c.label == label for c in cases_there) for label in "ab"] == [8, 8]
    owners = {c.patient: site for site, cases_there in of_site.items() for c in cases_there}
    assert all(
        owners[c.patient] == site for site, cases_there in of_site.items() for c in cases_there
    )


def test_more_sites_than_patients() -> None:
    with pytest.raises(DataError, match="2 patients cannot be divided among 3 sites"):
        partition_into_sites([case("a", "p"), case("b", "q")], 3, seed=0)


def test_a_patient_at_two_sites_must_be_in_the_same_part() -> None:
    train: Parts = {"train": [case("a", "p")], "validation": [], "test": []}
    test: Parts = {"train": [], "validation": [], "test": [case("b", "p")]}
    check_disjoint({"x": train, "y": train})
    with pytest.raises(DataError, match="'p' is in train at site x and in test at site y"):
        check_disjoint({"x": train, "y": test})
