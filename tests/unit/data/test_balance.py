"""Rarer classes by augmentation."""

from collections import Counter
from pathlib import Path

import pytest
import torch
from helpers import tiny

from ucadi_flwr.data.balance import drawn_again
from ucadi_flwr.data.dataset import CachedCases, training_set
from ucadi_flwr.data.sites import Site, open_sites
from ucadi_flwr.errors import RecipeError
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.task import TaskRecipe

LABELS = [0] * 10 + [1] * 4 + [3] * 1
NOISE = {"name": "RandGaussianNoise", "args": {"prob": 1.0, "std": 0.5}}


def test_equal_is_as_many_as_the_most_frequent() -> None:
    again = drawn_again(LABELS, {}, seed=1)
    assert Counter(LABELS[i] for i in again) == {1: 6, 3: 9}
    times = Counter(again)
    assert {times[i] for i in range(10, 14)} == {1, 2}  # each once before one is drawn twice


def test_rates_by_class() -> None:
    again = drawn_again(LABELS, {1: 2.5, 2: 9.0}, seed=1)
    assert Counter(LABELS[i] for i in again) == {1: 6}


def test_one_class_or_none_has_nothing_to_balance() -> None:
    assert drawn_again([2, 2, 2], {}, seed=0) == []
    assert drawn_again([], {1: 2.0}, seed=0) == []


def test_the_seed_draws() -> None:
    rates = {0: 1.5}
    assert drawn_again(LABELS, rates, 5) == drawn_again(LABELS, rates, 5)
    assert len({tuple(drawn_again(LABELS, rates, seed)) for seed in range(9)}) > 1


@pytest.fixture
def site(tmp_path: Path) -> Site:
    root = tiny.write_sites(tmp_path / "data", {"a": 16})
    lines = (root / "a" / "manifest.csv").read_text().splitlines()
    kept = [line for line in lines if ",left," not in line][:5] + [
        line for line in lines if ",left," in line
    ]
    (root / "a" / "manifest.csv").write_text("\n".join(kept) + "\n")
    return open_sites(root, task(tmp_path))["a"]


def task(folder: Path, **balance: object) -> TaskRecipe:
    changes = {"training.balance": {"transforms": [NOISE], **balance}} if balance else {}
    return loader.load(TaskRecipe, str(tiny.write_task(folder)), changes)


def images(found: torch.utils.data.Dataset) -> list[tuple[bytes, int]]:  # type: ignore[type-arg]
    size = len(found)  # type: ignore[arg-type]
    return [(found[i]["image"].numpy().tobytes(), found[i]["label"]) for i in range(size)]


def test_off_is_what_it_was(site: Site, tmp_path: Path) -> None:
    assert isinstance(training_set(site, task(tmp_path), tmp_path / "cache", 3), CachedCases)


def test_cases_are_drawn_again_with_the_transforms(site: Site, tmp_path: Path) -> None:
    plain = images(training_set(site, task(tmp_path), tmp_path / "cache", 3))
    balanced = task(tmp_path, rates="equal")
    more = images(training_set(site, balanced, tmp_path / "cache", 3))
    assert more[: len(plain)] == plain
    counts = Counter(label for _, label in more)
    assert counts[0] == counts[1] > len(plain) - counts[0]
    extra = [image for image, _ in more[len(plain) :]]
    assert not set(extra) & {image for image, _ in plain}
    assert len(set(extra)) == len(extra)
    again = training_set(site, balanced, tmp_path / "cache", 3)
    assert images(again) == more
    assert images(training_set(site, balanced, tmp_path / "cache", 4)) != more


def test_nothing_to_balance_is_no_error(site: Site, tmp_path: Path) -> None:
    found = training_set(site, task(tmp_path, rates={"left": 1.0}), tmp_path / "cache", 3)
    assert len(found) == len(site.parts["train"])


@pytest.mark.parametrize(
    ("balance", "message"),
    [
        ({"transforms": [{"name": "RandLambda"}]}, "training.balance.transforms.0.name"),
        ({"transforms": [{"name": "RandSpatialCrop"}]}, "'RandFlip'"),
        ({"transforms": []}, "training.balance.transforms"),
        ({"transforms": [NOISE], "rates": {"top": 2.0}}, "'top' is not one of the classes left"),
        ({"transforms": [NOISE], "rates": {"left": 0.5}}, "training.balance.rates.left"),
        ({"transforms": [NOISE], "rates": "more"}, "training.balance.rates"),
        ({"transforms": [NOISE], "rate": "equal"}, "known here: rates, transforms"),
    ],
)
def test_what_cannot_work_says_why(
    tmp_path: Path, balance: dict[str, object], message: str
) -> None:
    path = str(tiny.write_task(tmp_path))
    with pytest.raises(RecipeError) as caught:
        loader.load(TaskRecipe, path, {"training.balance": balance})
    assert message in str(caught.value)


def test_bad_arguments_of_a_transform_are_told(site: Site, tmp_path: Path) -> None:
    made = task(tmp_path, transforms=[{"name": "RandFlip", "args": {"colour": 1}}])
    with pytest.raises(RecipeError, match="augmentation RandFlip: "):
        training_set(site, made, tmp_path / "cache", 0)
