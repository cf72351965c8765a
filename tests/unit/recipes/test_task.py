"""Task recipes: defaults, labels, and invalid values."""

import pytest

from ucadi_flwr.errors import RecipeError
from ucadi_flwr.models.factory import make_model
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.task import TaskRecipe


def test_s0_is_the_default_training_recipe() -> None:
    task = loader.load(TaskRecipe, "ct-covid4")
    t = task.training
    assert (t.epochs, t.batch_size, t.learning_rate, t.momentum) == (100, 16, 0.01, 0.9)
    assert (t.weight_decay, t.warmup, t.class_weights) == (4e-5, 0.05, (0.2, 0.2, 0.4, 0.2))


INVALID = {
    "unknown section": ({"trainin.x": 1}, "trainin: unknown key; valid keys: augmentation, "),
    "unknown key": (
        {"training.lr": 1},
        "training.lr: unknown key; valid keys: balance, ",
    ),
    "key of a model": ({"model.depth": 2}, "valid keys: dropblock, dropblock-calls, growth"),
    "key in a list": ({"augmentation": [{"name": "RandFlip", "x": 1}]}, "valid keys: args, name"),
    "model": ({"model.name": "vit"}, "'densenet3d', 'resnet18'"),
    "not a section": ({"name.x": 1}, "'name.x': name is not a section"),
    "number": ({"training.epochs": 0}, "training.epochs: Input should be greater"),
    "infinite": ({"training.momentum": float("nan")}, "training.momentum"),
    "version": ({"schema_version": 2}, "schema_version: Input should be 1"),
    "positive": ({"positive-class": "flu"}, "'flu' is not one of the classes healthy"),
    "label": ({"labels": {"a": "flu"}}, "'flu' is not one of the classes"),
    "class twice": ({"classes": ["a", "a"]}, "each class may appear once"),
    "weights": ({"training.class-weights": [1.0]}, "has 1 values for 4 classes"),
    "window": ({"images.window-hu": [5, 5]}, "low < high"),
    "split": ({"split.test": 0.9, "split.validation": 0.2}, "leave patients to train on"),
    "images of another kind": ({"model": {"name": "resnet18"}}, "resnet18 does not take images"),
    "lambda": ({"augmentation": [{"name": "Lambda"}]}, "augmentation.0.name"),
    "several": ({"training.epochs": 0, "training.momentum": 2}, "(and 1 more)"),
}


@pytest.mark.parametrize(("overrides", "message"), INVALID.values(), ids=INVALID)
def test_invalid_tasks_say_what_and_where(overrides: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        loader.load(TaskRecipe, "ct-covid4", overrides)
    assert message in str(caught.value)
    assert "ct-covid4.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_phantom_of_radiographs_is_refused() -> None:
    with pytest.raises(RecipeError, match="phantom: only tasks on ct-volume"):
        loader.load(TaskRecipe, "xray-pneumonia2", {"phantom.sites": 3})


def test_vgg16_needs_images_that_five_poolings_leave_something_of() -> None:
    small = {"model.name": "vgg16", "images.size": [64, 31]}
    with pytest.raises(RecipeError, match="vgg16 needs images of 32 × 32 pixels or more"):
        loader.load(TaskRecipe, "xray-covid3", small)
    task = loader.load(TaskRecipe, "xray-covid3", {"model.name": "vgg16", "model.width": 2})
    assert sum(p.numel() for p in make_model(task, 0).parameters()) == 131_893
    with pytest.raises(RecipeError, match="model vgg16 does not take images of kind ct-volume"):
        loader.load(TaskRecipe, "ct-covid2", {"model.name": "vgg16"})


def test_labels_map_to_classes() -> None:
    task = loader.load(TaskRecipe, "xray-pneumonia2")
    assert task.class_of == {"normal": 0, "pneumonia": 1, "covid": 1}
