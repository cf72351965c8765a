"""Which strategies' features are shown, and with which numbers."""

import numpy as np
import pytest
from helpers.known import known
from helpers.small_experiment import SmallExperiment
from numpy.typing import NDArray

from ucadi_flwr.comparison import embeddings as module
from ucadi_flwr.errors import DataError
from ucadi_flwr.evaluation.neighbours import silhouette
from ucadi_flwr.results.features import write_features

LABELS = np.arange(15) % 2
GOOD, BAD = np.where(LABELS, 0.8, 0.2), np.where(LABELS, 0.3, 0.6)


def keep(
    experiment: SmallExperiment,
    strategy: str,
    site: str,
    features: NDArray[np.float32],
    seed: int = 0,
) -> None:
    path = experiment.out / strategy / f"seed{seed}" / "features" / "all" / f"{site}.safetensors"
    write_features(path, np.asarray(features, np.float32), experiment.sites[site][2])


def drawn(seed: int, shift: float = 0.0) -> NDArray[np.float32]:
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(15, 6)) + shift + 3 * LABELS[:, None]).astype(np.float32)


@pytest.fixture
def two(experiment: SmallExperiment) -> SmallExperiment:
    """central is the best, ucadi the best federated strategy; local has no model of all sites."""
    for site in ("north", "south"):
        experiment.site(site, LABELS)
        experiment.predict("local", 0, site, GOOD, site)
        for strategy, scores in (("central", GOOD), ("fedavg", BAD), ("ucadi", GOOD)):
            experiment.predict(strategy, 2, site, scores)
            experiment.predict(strategy, 1, site, scores)
            for seed in (1, 2):
                keep(experiment, strategy, site, drawn(seed, shift=5.0 * (site == "south")), seed)
    experiment.rounds["central"] = ["all"]
    experiment.rounds["fedavg"] = experiment.rounds["ucadi"] = ["north", "south"]
    return experiment


def test_the_reference_and_the_best_federated_strategy_are_shown(two: SmallExperiment) -> None:
    embeddings = two.analyse().embeddings
    assert [(one.strategy, one.seed) for one in embeddings] == [("fedavg", 1), ("ucadi", 1)]
    one = embeddings[0]
    assert (one.sites, one.of, one.features, len(one.x), len(one.y)) == (
        ["north", "south"], 30, 6, 30, 30
    )  # fmt: skip
    assert one.label == [*LABELS, *LABELS]
    assert one.site == [0] * 15 + [1] * 15
    assert one.perplexity == pytest.approx(29 / 3)
    features = np.concatenate([drawn(1), drawn(1, 5.0)])
    assert one.silhouette_class == pytest.approx(silhouette(features, np.array(one.label)))
    assert known(one.silhouette_site) > known(one.silhouette_class)
    assert two.analyse().embeddings == embeddings
    assert [one.strategy for one in two.analyse("ucadi").embeddings] == ["ucadi"]
    assert [one.strategy for one in two.analyse("local").embeddings] == ["ucadi"]


def test_few_cases_have_silhouettes_but_no_picture(experiment: SmallExperiment) -> None:
    experiment.site("north", LABELS)
    experiment.predict("fedavg", 0, "north", GOOD)
    keep(experiment, "fedavg", "north", drawn(0))
    (one,) = experiment.analyse().embeddings
    assert (one.x, one.y, one.perplexity, len(one.label)) == ([], [], None, 15)
    assert known(one.silhouette_class) > 0.3
    assert one.silhouette_site is None


def test_equal_features_have_no_picture(experiment: SmallExperiment) -> None:
    for site in ("north", "south"):
        experiment.site(site, LABELS)
        experiment.predict("fedavg", 0, site, GOOD)
        keep(experiment, "fedavg", site, np.ones((15, 4), np.float32))
    (one,) = experiment.analyse().embeddings
    assert (one.x, one.silhouette_class) == ([], 0.0)


def test_many_cases_are_drawn(two: SmallExperiment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_POINTS", 24)
    (one, other) = two.analyse().embeddings
    assert (len(one.x), len(one.label), one.of) == (24, 24, 30)
    assert (one.label, one.site) == (other.label, other.site)


def test_without_kept_features_there_is_no_embedding(experiment: SmallExperiment) -> None:
    experiment.site("north", LABELS)
    experiment.predict("fedavg", 0, "north", GOOD)
    assert experiment.analyse().embeddings == []


def test_features_of_different_models_are_refused(two: SmallExperiment) -> None:
    keep(two, "fedavg", "south", drawn(1)[:, :4], seed=1)
    with pytest.raises(
        DataError, match=r"\[4, 6\] features per case, so they are of different models"
    ):
        two.analyse()


def test_features_of_other_cases_are_refused(two: SmallExperiment) -> None:
    path = two.out / "fedavg" / "seed1" / "features" / "all" / "south.safetensors"
    write_features(path, np.ones((7, 6), np.float32), np.zeros(7, np.int64))
    with pytest.raises(DataError, match=r"south\.safetensors: 7 cases, but 15 were tested"):
        two.analyse()
