"""Strategy recipes: sections, defaults, and invalid combinations."""

from pathlib import Path

import pytest

from ucadi_flwr.errors import RecipeError
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.strategy import StrategyRecipe


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        ({"cohort": "pooled"}, "write min-sites: 1"),
        ({"cohort": "pooled", "min-sites": 1, "proximal-mu": 1.0}, "aggregates no models"),
        ({"server-optimizer": {"name": "sgd"}}, "'average', 'fedavgm', 'fedadam'"),
        ({"local-epochs": 0}, "local-epochs"),
        ({"protection": {"weights": "encrypted"}}, "scheme none encrypts neither weights nor"),
        ({"protection": {"scheme": "ckks", "values-per-slot": 2}}, "values-per-slot is for bfv"),
        ({"protection": "bfv", "min-sites": 1}, "min-sites 1 cannot be used with encryption"),
        ({"protection": {"scheme": "bfv", "max-sites": 4}, "min-sites": 5}, "at most max-sites, 4"),
        ({"protection": "bfv", "cohort": "each-site", "min-sites": 1}, "nothing to protect"),
        ({"protection": "paillier"}, "protection.scheme"),
        (
            {"local": "batchnorm"},
            "'batchnorm' is not a part of a network: write none, normalisation",
        ),
        ({"local": "head", "cohort": "each-site", "min-sites": 1}, "makes no model of all sites"),
        ({"local": []}, "local: '[]' is not a part of a network"),
        ({"local": [1]}, "'[1]' is not a part of a network"),
        ({"local": {"head": 1}}, "is not a part of a network"),
        ({"tailoring.epochs": 1, "cohort": "pooled", "min-sites": 1}, "remove local, tailoring"),
        ({"tailoring.epochs": 0}, "tailoring.epochs"),
        ({"tailoring": {"epochs": 1, "fine-tune": "some"}}, "tailoring.fine-tune"),
        (
            {"tailoring": {"epochs": 1, "layers": "head"}},
            "valid keys: alignment, epochs, fine-tune",
        ),
        ({"tailoring": {"epochs": 1, "alignment": {"mu": -1}}}, "tailoring.alignment.mu"),
        ({"selection": {"policy": "all", "fraction": 0.5}}, "policy all selects every site"),
        ({"selection": {"policy": "random", "at-least-every": 3}}, "set fraction < 1"),
        (
            {"selection": {"policy": "capacity", "fraction": 0.5}},
            "at-least-every 1 selects every site",
        ),
    ],
)
def test_invalid_strategies_say_why(overrides: dict[str, object], message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        loader.load(StrategyRecipe, "fedavg", overrides)
    assert message in str(caught.value)


def test_s2_s_sections_load() -> None:
    ftl = loader.load(StrategyRecipe, "ftl")
    assert ftl.personalisation is not None
    assert ftl.personalisation.fine_tune == "all"
    assert loader.load(StrategyRecipe, "fedbn").local == "normalisation"
    named = loader.load(StrategyRecipe, "fedavg", {"local": ["layer4", "fc"]})
    assert named.local == ("layer4", "fc")
    chosen = {"policy": "capacity", "fraction": 0.5, "at-least-every": 3}
    assert loader.load(StrategyRecipe, "fedavg", {"selection": chosen}).selection.fraction == 0.5
    tuned = loader.load(StrategyRecipe, "ftl", {"tailoring.fine-tune": "from classifier.3"})
    assert tuned.personalisation is not None
    assert tuned.personalisation.fine_tune == "from classifier.3"


def test_encryption_needs_three_sites_by_default() -> None:
    assert loader.load(StrategyRecipe, "fedavg", {"protection": "bfv"}).min_sites == 3
    assert loader.load(StrategyRecipe, "fedavg", {"protection": {"scheme": "ckks"}}).min_sites == 3
    two = {"protection": "bfv", "min-sites": 2}
    assert loader.load(StrategyRecipe, "fedavg", two).min_sites == 2
    assert loader.load(StrategyRecipe, "fedavg").min_sites == 2


def test_the_short_form_of_protection_is_the_long_one() -> None:
    short = loader.load(StrategyRecipe, "fedavg", {"protection": "bfv"})
    long = loader.load(StrategyRecipe, "fedavg", {"protection.scheme": "bfv"})
    assert loader.digest(short) == loader.digest(long)


def test_personalisation_and_tailoring_are_one_section(tmp_path: Path) -> None:
    """The recipes' key is tailoring, as are the key and the digest of a dump."""
    ftl = loader.load(StrategyRecipe, "ftl")
    text = loader.find(StrategyRecipe, "ftl").read_text(encoding="utf-8")
    path = tmp_path / "other.yaml"
    path.write_text(text.replace("\ntailoring:", "\npersonalisation:"), encoding="utf-8")
    other = loader.load(StrategyRecipe, str(path))
    assert "\ntailoring:" in loader.dump(other)
    assert "\npersonalisation:" not in loader.dump(other)
    assert loader.digest(other) == loader.digest(ftl)
    for name in ("ftl", str(path)):
        for key in ("tailoring", "personalisation"):
            changed = loader.load(StrategyRecipe, name, {f"{key}.epochs": 2})
            assert changed.personalisation is not None
            assert (changed.personalisation.epochs, changed.personalisation.fine_tune) == (2, "all")
            whole = loader.load(StrategyRecipe, name, {key: {"epochs": 3}})
            assert whole.personalisation is not None
            assert (whole.personalisation.epochs, whole.personalisation.fine_tune) == (3, "head")
            assert loader.has_key(StrategyRecipe, f"{key}.epochs")
            assert loader.has_section(ftl, f"{key}.epochs")
            assert not loader.has_section(loader.load(StrategyRecipe, "fedavg"), f"{key}.epochs")


def test_personalisation_beside_tailoring_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "both.yaml"
    text = loader.find(StrategyRecipe, "ftl").read_text(encoding="utf-8")
    path.write_text(text + "personalisation: {epochs: 1}\n", encoding="utf-8")
    with pytest.raises(RecipeError, match="personalisation and tailoring are one section"):
        loader.load(StrategyRecipe, str(path))
