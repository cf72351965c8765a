"""Class balancing by oversampling with augmentation."""

from collections import Counter
from collections.abc import Sized
from pathlib import Path
from typing import Any

import pytest
from helpers import tiny
from torch.utils.data import Dataset

from ucadi_flwr.data.balance import oversampled_indices
from ucadi_flwr.data.dataset import CachedCases, training_set
from ucadi_flwr.data.sites import Site, open_sites
from ucadi_flwr.errors import RecipeError
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.task import TaskRecipe

LABELS = [0] * 10 + [1] * 4 + [3] * 1
NOISE = {"name": "RandGaussianNoise", "args": {"prob": 1.0, "std": 0.5}}


def test_equal_raises_every_class_to_the_most_frequent() -> None:
    again = oversampled_indices(LABELS, {}, seed=1)
    assert Counter(LABELS[i] for i in again) == {1: 6, 3: 9}
    times = Counter(again)
    assert {times[i] for i in range(10, 14)} == {
        1,
        2,
    }  # each is repeated once before one is repeated twice


def test_rates_by_class() -> None:
    again = oversampled_indices(LABELS, {1: 2.5, 2: 9.0}, seed=1)
    assert Counter(LABELS[i] for i in again) == {1: 6}


def test_one_class_or_no_cases_need_no_balance() -> None:
    assert oversampled_indices([2, 2, 2], {}, seed=0) == []
    assert oversampled_indices([], {1: 2.0}, seed=0) == []


def test_the_seed_fixes_the_oversampled_cases() -> None:
    rates = {0: 1.5}
    assert oversampled_indices(LABELS, rates, 5) == oversampled_indices(LABELS, rates, 5)
    assert len({tuple(oversampled_indices(LABELS, rates, seed)) for seed in range(9)}) > 1


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


def images(dataset: Dataset[dict[str, Any]]) -> list[tuple[bytes, int]]:
    assert isinstance(dataset, Sized)
    items = [dataset[i] for i in range(len(dataset))]
    return [(item["image"].numpy().tobytes(), item["label"]) for item in items]


def test_without_balance_the_dataset_is_not_extended(site: Site, tmp_path: Path) -> None:
    assert isinstance(training_set(site, task(tmp_path), tmp_path / "cache", 3), CachedCases)


def test_oversampled_cases_pass_through_the_transforms(site: Site, tmp_path: Path) -> None:
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
    dataset = training_set(site, task(tmp_path, rates={"left": 1.0}), tmp_path / "cache", 3)
    assert len(dataset) == len(site.parts["train"])


@pytest.mark.parametrize(
    ("balance", "message"),
    [
        ({"transforms": [{"name": "RandLambda"}]}, "training.balance.transforms.0.name"),
        ({"transforms": [{"name": "RandSpatialCrop"}]}, "'RandFlip'"),
        ({"transforms": []}, "training.balance.transforms"),
        ({"transforms": [NOISE], "rates": {"top": 2.0}}, "'top' is not one of the classes left"),
        ({"transforms": [NOISE], "rates": {"left": 0.5}}, "training.balance.rates.left"),
        ({"transforms": [NOISE], "rates": "more"}, "training.balance.rates"),
        ({"transforms": [NOISE], "rate": "equal"}, "valid keys: rates, transforms"),
    ],
)
def test_an_invalid_balance_says_why(
    tmp_path: Path, balance: dict[str, object], message: str
) -> None:
    path = str(tiny.write_task(tmp_path))
    with pytest.raises(RecipeError) as caught:
        loader.load(TaskRecipe, path, {"training.balance": balance})
    assert message in str(caught.value)


def test_bad_arguments_of_a_transform_are_reported(site: Site, tmp_path: Path) -> None:
    wrong = task(tmp_path, transforms=[{"name": "RandFlip", "args": {"colour": 1}}])
    with pytest.raises(RecipeError, match="augmentation RandFlip: "):
        training_set(site, wrong, tmp_path / "cache", 0)
