"""Recipes: what loads, what is refused, and with which words."""

from pathlib import Path

import pytest

from ucadi_flwr.errors import RecipeError
from ucadi_flwr.models.factory import make_model
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe

ROOT = Path(__file__).resolve().parents[3]
TASKS = sorted((ROOT / "tasks").rglob("*.yaml"))
STRATEGIES = sorted((ROOT / "strategies").rglob("*.yaml"))


def test_the_issue_s_recipes_are_there() -> None:
    assert {p.stem for p in TASKS} >= {
        *("ct-covid4", "ct-covid2", "ct-severity3", "xray-pneumonia2", "phantom-covid2"),
    }
    assert {p.stem for p in STRATEGIES} >= {
        *("fedavg", "fedavg-equal", "fedprox", "fedavgm", "fedadam", "local", "central"),
    }


@pytest.mark.parametrize("path", TASKS, ids=lambda p: p.stem)
def test_every_task_loads_under_its_own_name(path: Path) -> None:
    assert loader.load(TaskRecipe, str(path)).name == path.stem


@pytest.mark.parametrize("path", STRATEGIES, ids=lambda p: p.stem)
def test_every_strategy_loads_under_its_own_name(path: Path) -> None:
    assert loader.load(StrategyRecipe, str(path)).name == path.stem


@pytest.mark.parametrize("path", [*TASKS, *STRATEGIES], ids=lambda p: p.stem)
def test_dump_and_load_keep_the_digest(path: Path, tmp_path: Path) -> None:
    kind = TaskRecipe if path.parent.name == "tasks" else StrategyRecipe
    recipe = loader.load(kind, str(path))
    copy = tmp_path / "copy.yaml"
    copy.write_text(loader.dump(recipe), encoding="utf-8")
    assert loader.digest(loader.load(kind, str(copy))) == loader.digest(recipe)


def test_digest_sees_values_and_not_comments(tmp_path: Path) -> None:
    text = (ROOT / "strategies" / "fedprox.yaml").read_text(encoding="utf-8")
    same, other = tmp_path / "same.yaml", tmp_path / "other.yaml"
    same.write_text("# a comment\n" + text, encoding="utf-8")
    other.write_text(text.replace("0.01", "0.02"), encoding="utf-8")
    original = loader.digest(loader.load(StrategyRecipe, "fedprox"))
    assert loader.digest(loader.load(StrategyRecipe, str(same))) == original
    assert loader.digest(loader.load(StrategyRecipe, str(other))) != original


def test_s0_is_the_default_training_recipe() -> None:
    task = loader.load(TaskRecipe, "ct-covid4")
    t = task.training
    assert (t.epochs, t.batch_size, t.learning_rate, t.momentum) == (100, 16, 0.01, 0.9)
    assert (t.weight_decay, t.warmup, t.class_weights) == (4e-5, 0.05, (0.2, 0.2, 0.4, 0.2))


def test_a_number_with_an_exponent_is_a_number() -> None:
    assert loader.parse("a: 1e-3\nb: -2E+4\nc: 5e", "x") == {"a": 1e-3, "b": -2e4, "c": "5e"}


HOSTILE = {
    "alias": ("a: &a [1]\nb: *a", "line 1: anchors and aliases"),
    "bomb": ("a: &a [1,1]\nb: &b [*a,*a]\nc: &c [*b,*b]", "anchors and aliases"),
    "merge": ("a: {<<: {b: 1}}\nb: *x", "line 2: anchors and aliases"),
    "python": ("a: !!python/object/apply:os.system [ls]", "line 1: could not determine"),
    "tag": ("a: !custom 1", "line 1: could not determine"),
    "dollar": ("a: 1\nb: ${HOME}", "line 2: '$' is not allowed"),
    "twice": ("a: 1\nb: 2\na: 3", "line 3: the key 'a' stands there twice"),
    "list as key": ("? [1, 2]\n: 3", "line 1: a key must be one word"),
    "deep": ("[" * 60_000, "nested deeper than 16 levels"),
    "deep mapping": ("{a: " * 10_000, "nested deeper than 16 levels"),
    "unclosed": ("{a: 1", "line 1: expected"),
    "control": ("a: \x00", "not readable as YAML"),
    "two documents": ("a: 1\n---\nb: 2", "line 2: but found another document"),
    "bad date": ("a: 2024-99-99", "not readable as YAML"),
    "large": ("a: " + "x" * 70_000, "larger than 65536 bytes"),
}


@pytest.mark.parametrize(("text", "message"), HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_is_one_line(text: str, message: str) -> None:
    with pytest.raises(RecipeError, match=r"^evil\.yaml") as caught:
        loader.parse(text, "evil.yaml")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_of_ten_megabytes_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "large.yaml"
    path.write_bytes(b"a" * 10_000_000)
    with pytest.raises(RecipeError, match="larger than 65536 bytes"):
        loader.load(TaskRecipe, str(path))


def test_not_utf8_and_not_a_mapping(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="not UTF-8"):
        loader.load(TaskRecipe, str(path))
    path.write_text("[1, 2]", encoding="utf-8")
    with pytest.raises(RecipeError, match="a recipe is a list of 'key: value' lines"):
        loader.load(TaskRecipe, str(path))


def test_unknown_names_list_the_known_ones() -> None:
    with pytest.raises(RecipeError, match=r"unknown task 'lungs': choose from .*ct-covid4"):
        loader.load(TaskRecipe, "lungs")
    with pytest.raises(RecipeError, match=r"unknown strategy 'sum': choose from .*fedprox"):
        loader.load(StrategyRecipe, "sum")
    with pytest.raises(RecipeError, match=r"gone\.yaml: no such recipe file"):
        loader.load(TaskRecipe, "gone.yaml")


INVALID = {
    "unknown section": ({"trainin.x": 1}, "trainin: unknown key; known here: augmentation, "),
    "unknown key": (
        {"training.lr": 1},
        "training.lr: unknown key; known here: balance, ",
    ),
    "key of a model": ({"model.depth": 2}, "known here: dropblock, dropblock-calls, growth"),
    "key in a list": ({"augmentation": [{"name": "RandFlip", "x": 1}]}, "known here: args, name"),
    "model": ({"model.name": "vit"}, "'densenet3d', 'resnet18'"),
    "not a section": ({"name.x": 1}, "'name.x': name is not a section"),
    "number": ({"training.epochs": 0}, "training.epochs: Input should be greater"),
    "infinite": ({"training.momentum": float("nan")}, "training.momentum"),
    "version": ({"schema_version": 2}, "schema_version: Input should be 1"),
    "positive": ({"positive-class": "flu"}, "'flu' is not one of the classes healthy"),
    "label": ({"labels": {"a": "flu"}}, "'flu' is not one of the classes"),
    "class twice": ({"classes": ["a", "a"]}, "each class may stand there once"),
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


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("schema_version: 1\nname: x\n", encoding="utf-8")
    with pytest.raises(RecipeError, match="summary: this key is missing"):
        loader.load(StrategyRecipe, str(path))


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"cohort": "pooled"}, "write min-sites: 1"),
        ({"cohort": "pooled", "min-sites": 1, "proximal-mu": 1.0}, "nothing to average"),
        ({"server-optimizer": {"name": "sgd"}}, "'average', 'fedavgm', 'fedadam'"),
        ({"local-epochs": 0}, "local-epochs"),
        ({"protection": {"weights": "encrypted"}}, "scheme none encrypts neither weights nor"),
        ({"protection": {"scheme": "ckks", "values-per-slot": 2}}, "values-per-slot is for bfv"),
        ({"protection": "bfv", "min-sites": 1}, "min-sites 1 cannot be with encryption"),
        ({"protection": {"scheme": "bfv", "max-sites": 4}, "min-sites": 5}, "room for 4"),
        ({"protection": "bfv", "cohort": "each-site", "min-sites": 1}, "nothing to protect"),
        ({"protection": "paillier"}, "protection.scheme"),
        ({"local": "batchnorm"}, "'batchnorm' is no part of a network: write none, normalisation"),
        ({"local": "head", "cohort": "each-site", "min-sites": 1}, "makes no model of all sites"),
        ({"local": []}, "local: '[]' is no part of a network"),
        ({"local": [1]}, "'[1]' is no part of a network"),
        ({"local": {"head": 1}}, "is no part of a network"),
        ({"tailoring.epochs": 1, "cohort": "pooled", "min-sites": 1}, "leave out local, tailoring"),
        ({"tailoring.epochs": 0}, "tailoring.epochs"),
        ({"tailoring": {"epochs": 1, "fine-tune": "some"}}, "tailoring.fine-tune"),
        (
            {"tailoring": {"epochs": 1, "layers": "head"}},
            "known here: alignment, epochs, fine-tune",
        ),
        ({"tailoring": {"epochs": 1, "alignment": {"mu": -1}}}, "tailoring.alignment.mu"),
        ({"selection": {"policy": "all", "fraction": 0.5}}, "policy all leaves nobody out"),
        ({"selection": {"policy": "random", "at-least-every": 3}}, "set fraction < 1"),
        ({"selection": {"policy": "capacity", "fraction": 0.5}}, "at-least-every 1 leaves nobody"),
    ],
)
def test_strategies_that_cannot_work_say_why(overrides: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        loader.load(StrategyRecipe, "fedavg", overrides)
    assert message in str(caught.value)


def test_s2_s_sections_load() -> None:
    ftl = loader.load(StrategyRecipe, "ftl")
    assert ftl.tailoring is not None
    assert ftl.tailoring.fine_tune == "all"
    assert loader.load(StrategyRecipe, "fedbn").local == "normalisation"
    named = loader.load(StrategyRecipe, "fedavg", {"local": ["layer4", "fc"]})
    assert named.local == ("layer4", "fc")
    chosen = {"policy": "capacity", "fraction": 0.5, "at-least-every": 3}
    assert loader.load(StrategyRecipe, "fedavg", {"selection": chosen}).selection.fraction == 0.5
    tuned = loader.load(StrategyRecipe, "ftl", {"tailoring.fine-tune": "from classifier.3"})
    assert tuned.tailoring is not None
    assert tuned.tailoring.fine_tune == "from classifier.3"


def test_recipes_of_the_working_folder_come_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "strategies").mkdir()
    text = "schema_version: 1\nname: fedavg\nsummary: mine\n"
    (tmp_path / "strategies" / "fedavg.yaml").write_text(text, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    assert loader.load(StrategyRecipe, "fedavg").summary == "mine"
    assert loader.load(StrategyRecipe, "fedprox").proximal_mu == 0.01


def test_has_key() -> None:
    assert loader.has_key(TaskRecipe, "training.epochs")
    assert loader.has_key(StrategyRecipe, "proximal-mu")
    assert not loader.has_key(StrategyRecipe, "training.epochs")


def test_labels_map_to_classes() -> None:
    task = loader.load(TaskRecipe, "xray-pneumonia2")
    assert task.class_of == {"normal": 0, "pneumonia": 1, "covid": 1}


def test_encryption_wants_three_sites_unless_told() -> None:
    assert loader.load(StrategyRecipe, "fedavg", {"protection": "bfv"}).min_sites == 3
    assert loader.load(StrategyRecipe, "fedavg", {"protection": {"scheme": "ckks"}}).min_sites == 3
    two = {"protection": "bfv", "min-sites": 2}
    assert loader.load(StrategyRecipe, "fedavg", two).min_sites == 2
    assert loader.load(StrategyRecipe, "fedavg").min_sites == 2


def test_the_short_form_of_protection_is_the_long_one() -> None:
    short = loader.load(StrategyRecipe, "fedavg", {"protection": "bfv"})
    long = loader.load(StrategyRecipe, "fedavg", {"protection.scheme": "bfv"})
    assert loader.digest(short) == loader.digest(long)
