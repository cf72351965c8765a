"""Load untrusted YAML as a typed recipe, or raise an error of one line.

A recipe is plain data: YAML tags, aliases, expressions and environment variables are refused. Its
digest is the SHA-256 of its canonical JSON, which comments and the order of keys do not change.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from ucadi_flwr.errors import RecipeError
from ucadi_flwr.limits import RECIPE_BYTES, RECIPE_DEPTH
from ucadi_flwr.recipes.base import kebab
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe

Recipe = TypeVar("Recipe", TaskRecipe, StrategyRecipe)

FOLDERS: Mapping[type[TaskRecipe] | type[StrategyRecipe], str] = {
    TaskRecipe: "tasks",
    StrategyRecipe: "strategies",
}


class _InertLoader(yaml.SafeLoader):
    """SafeLoader without aliases and duplicate keys, and with YAML 1.2's floats (``1e-3``)."""

    depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise yaml.MarkedYAMLError(
                problem="anchors and aliases are not allowed", problem_mark=event.start_mark
            )
        if self.depth >= RECIPE_DEPTH:
            raise yaml.MarkedYAMLError(
                problem=f"nested deeper than {RECIPE_DEPTH} levels", problem_mark=event.start_mark
            )
        self.depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self.depth -= 1

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise yaml.MarkedYAMLError(
                    problem="a key must be one word", problem_mark=key.start_mark
                )
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key '{key.value}' appears twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


_InertLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][-+]?[0-9]+)$"),
    list("-+.0123456789"),
)


def parse(text: str, source: str) -> Any:
    """Parse YAML text to plain values.

    Args:
        text: the YAML.
        source: its file or option, for messages.

    Raises:
        RecipeError: the text is too large, is not YAML, or uses a refused feature; the message
            names ``source`` and the line.
    """
    if len(text) > RECIPE_BYTES:
        raise RecipeError(f"{source}: larger than {RECIPE_BYTES} bytes; a recipe is a short file")
    if "$" in text:
        line = text[: text.index("$")].count("\n") + 1
        raise RecipeError(f"{source}, line {line}: '$' is not allowed; recipes hold plain values")
    try:
        return yaml.load(text, Loader=_InertLoader)  # noqa: S506 - a stricter SafeLoader
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise RecipeError(f"{source}, line {line}: {error.problem}") from None
    except (yaml.YAMLError, ValueError) as error:
        raise RecipeError(
            f"{source}: not readable as YAML ({str(error).splitlines()[0]})"
        ) from None


def find(kind: type[TaskRecipe] | type[StrategyRecipe], name: str) -> Path:
    """Find the file of a recipe.

    Args:
        kind: the kind of recipe.
        name: a path that ends in .yaml or .yml, or the name of an available recipe.

    Raises:
        RecipeError: there is no such file or name.
    """
    if name.endswith((".yaml", ".yml")):
        path = Path(name)
        if not path.is_file():
            raise RecipeError(f"{name}: no such recipe file")
        return path
    paths = {path.stem: path for path in reversed(available(kind))}
    if name not in paths:
        raise RecipeError(
            f"unknown {kind.__name__.removesuffix('Recipe').lower()} '{name}': "
            f"choose from {', '.join(sorted(paths)) or 'none found'}, or give a .yaml file"
        )
    return paths[name]


def available(kind: type[TaskRecipe] | type[StrategyRecipe]) -> list[Path]:
    """All recipe files of a kind: those of the working folder, then those of the installation."""
    package = Path(__file__).resolve().parent.parent
    folders = (Path.cwd() / FOLDERS[kind], package.parent / FOLDERS[kind], package / FOLDERS[kind])
    return [path for folder in dict.fromkeys(folders) for path in sorted(folder.glob("*.yaml"))]


def load(kind: type[Recipe], name: str, overrides: Mapping[str, Any] | None = None) -> Recipe:
    """Load and validate a recipe.

    Args:
        kind: :class:`TaskRecipe` or :class:`StrategyRecipe`.
        name: the name of an available recipe, or a path that ends in .yaml.
        overrides: dotted keys (``training.epochs``) → values that replace those of the file.

    Raises:
        RecipeError: the file does not exist or is too large, not UTF-8, not YAML or not valid; the
            message is one line with the file and the key.

    >>> load(StrategyRecipe, "fedprox", {"local-epochs": 2}).local_epochs
    2
    >>> load(StrategyRecipe, "ftl", {"personalisation.epochs": 3}).personalisation.epochs
    3
    """
    path = find(kind, name)
    if path.stat().st_size > RECIPE_BYTES:
        raise RecipeError(f"{path}: larger than {RECIPE_BYTES} bytes; a recipe is a short file")
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        raise RecipeError(f"{path}: not UTF-8 text") from None
    values = parse(text, str(path))
    if not isinstance(values, dict):
        raise RecipeError(f"{path}: a recipe is a list of 'key: value' lines")
    for dotted, value in (overrides or {}).items():
        _override(values, _as_in_file(kind, values, dotted), value, path)
    return validate(kind, values, str(path))


def validate(kind: type[Recipe], values: Mapping[str, Any], source: str) -> Recipe:
    """Make a recipe from plain values.

    Args:
        kind: the kind of recipe.
        values: the content of a recipe's file.
        source: its file, for messages.

    Raises:
        RecipeError: the values are not valid; the message has the first problem, and the valid keys
            instead of an unknown one.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"]) or "recipe"
        message = first["msg"].removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            message = f"unknown key; valid keys: {', '.join(_keys_beside(kind, first['loc']))}"
        elif first["type"] == "missing":
            message = "this key is missing"
        more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise RecipeError(f"{source}: {where}: {message}{more}") from None


def digest(recipe: TaskRecipe | StrategyRecipe) -> str:
    """SHA-256 (hex) of the recipe's canonical JSON; server and sites compare it."""
    canonical = json.dumps(
        recipe.model_dump(mode="json", by_alias=True), sort_keys=True, separators=(",", ":")
    )
    return hashlib.sha256(canonical.encode()).hexdigest()


def dump(recipe: TaskRecipe | StrategyRecipe) -> str:
    """The recipe as YAML; :func:`load` reads it as a recipe with the same digest."""
    values = recipe.model_dump(mode="json", by_alias=True, exclude_none=True)
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True)


def has_key(kind: type[TaskRecipe] | type[StrategyRecipe], dotted: str) -> bool:
    """Whether the first word of a dotted key is a key of this kind of recipe."""
    return _field(kind, dotted.split(".")[0]) is not None


def has_section(recipe: TaskRecipe | StrategyRecipe, dotted: str) -> bool:
    """Whether the recipe has the section that the first word of a dotted key names."""
    field = _field(type(recipe), dotted.split(".")[0])
    return field is not None and getattr(recipe, field) is not None


def _field(kind: type[TaskRecipe] | type[StrategyRecipe], key: object) -> str | None:
    """Name of the field that a key sets; the key is the field's alias or its name in kebab-case."""
    names = (name for name, field in kind.model_fields.items() if key in (field.alias, kebab(name)))
    return next(names, None)


def _as_in_file(
    kind: type[TaskRecipe] | type[StrategyRecipe], values: Mapping[Any, Any], dotted: str
) -> str:
    """A dotted key whose first word is the file's key for the same field, if the file has one."""
    first, dot, rest = dotted.partition(".")
    field = _field(kind, first)
    keys = (key for key in values if field is not None and _field(kind, key) == field)
    return f"{next(keys, first)}{dot}{rest}"


def _override(values: dict[str, Any], dotted: str, value: Any, path: Path) -> None:
    *sections, key = dotted.split(".")
    for section in sections:
        inner = values.setdefault(section, {})
        if not isinstance(inner, dict):
            raise RecipeError(f"{path}: '{dotted}': {section} is not a section")
        values = inner
    values[key] = value


def _keys_beside(kind: type[Any], location: tuple[int | str, ...]) -> list[str]:
    """The valid keys in the section of ``location``'s last part."""
    schema = kind.model_json_schema(by_alias=True)
    here: Any = schema
    for part in location[:-1]:
        if isinstance(part, int):
            here = here.get("items", here)
        elif part in here.get("properties", {}):
            here = here["properties"][part]
        elif "discriminator" in here:
            here = {"$ref": here["discriminator"]["mapping"][part]}
        here = next((inner for inner in here.get("anyOf", ()) if "$ref" in inner), here)
        while "$ref" in here:
            here = schema["$defs"][here["$ref"].split("/")[-1]]
    return sorted(here.get("properties", {}))
