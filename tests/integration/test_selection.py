"""Rounds in which some of the sites take part."""

import pytest
from helpers.federation import Config, model, run

pytestmark = pytest.mark.usefixtures("no_pauses")

HALF = "fraction: 0.4, at-least-every: 3"
SEALED = "protection: {scheme: bfv, weights: encrypted, metrics: encrypted}\nmin-sites: 2"


@pytest.mark.parametrize("policy", ["random", "capacity"])
def test_two_of_three_train_and_all_are_tested(config: Config, policy: str) -> None:
    recipe = f"selection: {{policy: {policy}, {HALF}}}"
    result, _ = run(config("some", recipe=recipe, rounds=6))
    took = [set(r["sites"]) for r in result["rounds"]]
    assert all(len(sites) >= 2 for sites in took)
    assert {"a", "b", "c"} not in took[:2]
    assert all(set().union(*took[i : i + 3]) == {"a", "b", "c"} for i in range(4))
    assert not any(r["failures"] for r in result["rounds"])
    assert set(result["models"][0]["test"]) == {"a", "b", "c"}


def test_a_run_chooses_the_same_again(config: Config) -> None:
    recipe = f"selection: {{policy: random, {HALF}}}"
    one, two = (config("some", recipe=recipe, rounds=3, name=name) for name in ("one", "two"))
    first, _ = run(one)
    again, _ = run(two)
    assert [set(r["sites"]) for r in first["rounds"]] == [set(r["sites"]) for r in again["rounds"]]
    there, back = model(one), model(two)
    assert all(there[name].tobytes() == back[name].tobytes() for name in there)


def test_under_encryption_a_site_that_sat_out_catches_up(config: Config) -> None:
    """FedAdam's step needs every sum: whoever missed rounds gets what it lacks."""
    adam = "server-optimizer: {name: fedadam, learning-rate: 0.01}"
    recipe = f"selection: {{policy: capacity, {HALF}}}\n{SEALED}\n{adam}"
    result, _ = run(config("quick", recipe=recipe, scheme="bfv", rounds=5))
    assert {len(r["sites"]) for r in result["rounds"]} >= {2}
    assert not any(r["failures"] for r in result["rounds"])
