"""Loading recipes: names, files, YAML, digests."""

from pathlib import Path

import pytest

from ucadi_flwr.errors import RecipeError
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe

ROOT = Path(__file__).resolve().parents[3]
TASKS = sorted((ROOT / "tasks").rglob("*.yaml"))
STRATEGIES = sorted((ROOT / "strategies").rglob("*.yaml"))


def test_the_main_recipes_are_available() -> None:
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
    if path.parent.name == "tasks":
        check_copy(TaskRecipe, path, tmp_path / "copy.yaml")
    else:
        check_copy(StrategyRecipe, path, tmp_path / "copy.yaml")


def check_copy(kind: type[loader.Recipe], path: Path, copy: Path) -> None:
    recipe = loader.load(kind, str(path))
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


def test_a_number_with_an_exponent_is_a_number() -> None:
    assert loader.parse("a: 1e-3\nb: -2E+4\nc: 5e", "x") == {"a": 1e-3, "b": -2e4, "c": "5e"}


HOSTILE = {
    "alias": ("a: &a [1]\nb: *a", "line 1: anchors and aliases"),
    "bomb": ("a: &a [1,1]\nb: &b [*a,*a]\nc: &c [*b,*b]", "anchors and aliases"),
    "merge": ("a: {<<: {b: 1}}\nb: *x", "line 2: anchors and aliases"),
    "python": ("a: !!python/object/apply:os.system [ls]", "line 1: could not determine"),
    "tag": ("a: !custom 1", "line 1: could not determine"),
    "dollar": ("a: 1\nb: ${HOME}", "line 2: '$' is not allowed"),
    "twice": ("a: 1\nb: 2\na: 3", "line 3: the key 'a' appears twice"),
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


def test_files_that_are_not_utf8_or_not_a_mapping_are_refused(tmp_path: Path) -> None:
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


def test_a_missing_key_is_named(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_text("schema_version: 1\nname: x\n", encoding="utf-8")
    with pytest.raises(RecipeError, match="summary: this key is missing"):
        loader.load(StrategyRecipe, str(path))


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
