"""The arms of the comparison: every strategy on every test set."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from ucadi_flwr.comparison.cases import Cases, Predictions
from ucadi_flwr.comparison.loading import Experiment, TestedModel
from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.results.analysis import OWN, Unit


@dataclass(frozen=True)
class Arm:
    """One strategy's model, or its local models, on one test set, over seeds.

    Attributes:
        strategy: its name.
        trained_at: "all", the site that trained the model, or "own" for local models together.
        tested_at: the site whose cases these are, or "all".
        unit: whether a row of the predictions is a scan or a patient.
        held_out: whether no site of the test set took part in the training.
        predictions: of all seeds that were tested on the whole test set.
    """

    strategy: str
    trained_at: str
    tested_at: str
    unit: Unit
    held_out: bool
    predictions: Predictions

    @property
    def main(self) -> bool:
        """Whether this arm stands for its strategy: one model of all sites, or each site's own."""
        return self.trained_at in (ALL_SITES, OWN)


def arms(experiment: Experiment) -> list[Arm]:
    """All arms, by strategy, place of training, unit, and test set: each site, then all sites.

    A seed is left out of a test set if it was not tested on all of it. There are arms per patient
    only if any patient of the experiment has several cases.
    """
    repeated = any(cases.repeated for cases in experiment.sites.values())
    pooled = {
        tested_at: Cases.pooled([experiment.sites[s] for s in experiment.sites_of(tested_at)])
        for tested_at in (*experiment.sites, ALL_SITES)
    }
    every_arm: list[Arm] = []
    for strategy, by_place in _by_strategy(experiment).items():
        for trained_at, models in by_place.items():
            scans = [
                arm
                for tested_at, cases in pooled.items()
                if (arm := _arm(experiment, strategy, trained_at, tested_at, models, cases))
            ]
            every_arm += scans
            if repeated:
                every_arm += [_per_patient(arm) for arm in scans]
    return every_arm


def _by_strategy(experiment: Experiment) -> dict[str, dict[str, dict[int, TestedModel]]]:
    """Strategy → trained at ("all", the sites in their order, "own") → seed → model."""
    grouped: dict[str, dict[str, dict[int, TestedModel]]] = {}
    for strategy in experiment.strategies:
        models = [model for model in experiment.models if model.strategy == strategy]
        places = {model.trained_at for model in models}
        order = [place for place in (ALL_SITES, *experiment.sites) if place in places]
        order += sorted(places - set(order))
        by_place = {
            place: {model.seed: model for model in models if model.trained_at == place}
            for place in order
        }
        if own := _own(strategy, by_place):
            by_place[OWN] = own
        grouped[strategy] = by_place
    return grouped


def _own(
    strategy: str, by_place: Mapping[str, Mapping[int, TestedModel]]
) -> dict[int, TestedModel]:
    """Seed → the local models taken together: each site's cases, scored by its own model."""
    local = {place: models for place, models in by_place.items() if place != ALL_SITES}
    seeds = sorted({seed for models in local.values() for seed in models})
    return {
        seed: TestedModel(
            strategy,
            seed,
            OWN,
            {
                site: models[seed].scores[site]
                for site, models in local.items()
                if seed in models and site in models[seed].scores
            },
        )
        for seed in seeds
    }


def _arm(
    experiment: Experiment,
    strategy: str,
    trained_at: str,
    tested_at: str,
    models: Mapping[int, TestedModel],
    cases: Cases,
) -> Arm | None:
    sites = experiment.sites_of(tested_at)
    seeds = tuple(s for s in sorted(models) if all(site in models[s].scores for site in sites))
    if not seeds:
        return None
    trained_by = {ALL_SITES: experiment.trained_by[strategy], OWN: frozenset(sites)}
    probabilities = [
        np.concatenate([models[seed].scores[site] for site in sites]) for seed in seeds
    ]
    return Arm(
        strategy=strategy,
        trained_at=trained_at,
        tested_at=tested_at,
        unit="scan",
        held_out=trained_by.get(trained_at, frozenset([trained_at])).isdisjoint(sites),
        predictions=Predictions(seeds, cases.labels, cases.patients, np.stack(probabilities)),
    )


def _per_patient(arm: Arm) -> Arm:
    return replace(arm, unit="patient", predictions=arm.predictions.per_patient())
