"""Every recipe on every test set: what the tables have rows for and differences are between."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from ucadi_flwr.comparison.cases import Cases, Predictions
from ucadi_flwr.comparison.loading import Experiment, Model
from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.results.analysis import OWN, Unit


@dataclass(frozen=True)
class Arm:
    """One strategy's model, or its local models, on one test set, over seeds."""

    strategy: str
    trained_at: str
    tested_at: str
    unit: Unit
    held_out: bool
    predictions: Predictions

    @property
    def main(self) -> bool:
        """Whether this is the strategy's answer there: one model of all, or each site's own."""
        return self.trained_at in (ALL_SITES, OWN)


def arms(experiment: Experiment) -> list[Arm]:
    """By strategy, by where it was trained, by unit, by test set: the sites, then all.

    A seed is left out of a test set where it was not tested on all of it. Patients are a unit of
    their own where any patient of the experiment has several cases.
    """
    repeated = any(cases.repeated for cases in experiment.sites.values())
    pooled = {
        tested_at: Cases.pooled([experiment.sites[s] for s in experiment.sites_of(tested_at)])
        for tested_at in (*experiment.sites, ALL_SITES)
    }
    found: list[Arm] = []
    for strategy, by_place in _by_strategy(experiment).items():
        for trained_at, models in by_place.items():
            scans = [
                arm
                for tested_at, cases in pooled.items()
                if (arm := _arm(experiment, strategy, trained_at, tested_at, models, cases))
            ]
            found += scans
            if repeated:
                found += [_patients(arm) for arm in scans]
    return found


def _by_strategy(experiment: Experiment) -> dict[str, dict[str, dict[int, Model]]]:
    """Strategy → trained at → seed → model; all, sites in their order, own."""
    found: dict[str, dict[str, dict[int, Model]]] = {}
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
        found[strategy] = by_place
    return found


def _own(strategy: str, by_place: Mapping[str, Mapping[int, Model]]) -> dict[int, Model]:
    """Seed → local models taken together: each site's cases by the model trained there."""
    local = {place: models for place, models in by_place.items() if place != ALL_SITES}
    seeds = sorted({seed for models in local.values() for seed in models})
    return {
        seed: Model(
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
    models: Mapping[int, Model],
    cases: Cases,
) -> Arm | None:
    sites = experiment.sites_of(tested_at)
    seeds = tuple(s for s in sorted(models) if all(site in models[s].scores for site in sites))
    if not seeds:
        return None
    learned = {ALL_SITES: experiment.learned_at[strategy], OWN: frozenset(sites)}
    probabilities = [
        np.concatenate([models[seed].scores[site] for site in sites]) for seed in seeds
    ]
    return Arm(
        strategy=strategy,
        trained_at=trained_at,
        tested_at=tested_at,
        unit="scan",
        held_out=learned.get(trained_at, frozenset([trained_at])).isdisjoint(sites),
        predictions=Predictions(seeds, cases.labels, cases.patients, np.stack(probabilities)),
    )


def _patients(arm: Arm) -> Arm:
    return Arm(
        arm.strategy,
        arm.trained_at,
        arm.tested_at,
        "patient",
        arm.held_out,
        arm.predictions.per_patient(),
    )
