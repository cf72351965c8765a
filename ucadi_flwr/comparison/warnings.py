"""What a reader of the figures should know before believing them: one sentence each."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ucadi_flwr.comparison.arms import Arm
from ucadi_flwr.comparison.differences import common_seeds
from ucadi_flwr.comparison.loading import Experiment
from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.results.analysis import OWN, Tested
from ucadi_flwr.results.experiment import Results

FEW = 10
"""Fewer positive, or negative, patients than this at a site are told."""

BINNED = 0.002
"""A larger difference between the AUC of counts and the exact one is told."""

_MAX_REASON = 200  # characters


def cautions(
    results: Results,
    experiment: Experiment,
    found: Sequence[Arm],
    tested: Sequence[Tested],
    reference: str,
) -> list[str]:
    """All of them, first about the runs, then the cases, then the figures."""
    return [
        *_failed(results),
        *_not_tested(experiment),
        *_unpaired(found, reference),
        *_one_site_classes(results),
        *_one_class_sites(experiment),
        *_few(experiment),
        *_uncalled(tested),
        *_binned(tested),
    ]


def _failed(results: Results) -> Iterator[str]:
    for cell in results.cells:
        if cell.error is not None:
            reason = " ".join(cell.error.split()).rstrip(".")
            if len(reason) > _MAX_REASON:
                reason = reason[:_MAX_REASON] + "…"
            yield f"{cell.strategy.name}, seed {cell.seed} failed and is in no figure: {reason}"


def _not_tested(experiment: Experiment) -> Iterator[str]:
    """Seeds or strategies that lack one of the sites."""
    for model in experiment.models:
        absent = [site for site in experiment.sites if site not in model.scores]
        if absent:
            where = (
                ""
                if model.trained_at == ALL_SITES
                else f", the model of {_site(model.trained_at)},"
            )
            yield (
                f"{model.strategy}, seed {model.seed}{where} was not tested at {_sites(absent)}: "
                "it is not in the figures there, nor in those of all sites"
            )
    for strategy in experiment.strategies:
        of_strategy = [model for model in experiment.models if model.strategy == strategy]
        if any(model.trained_at == ALL_SITES for model in of_strategy):
            continue
        having = {
            site for model in of_strategy for site in model.scores if site == model.trained_at
        }
        without = [site for site in experiment.sites if site not in having]
        if without:
            yield (
                f"{strategy} has no model of its own at {_sites(without)}: it is compared at the "
                "other sites only, not on all cases"
            )


def _unpaired(found: Sequence[Arm], reference: str) -> Iterator[str]:
    main = [arm for arm in found if arm.main and arm.unit == "scan"]
    against = {arm.tested_at: arm for arm in main if arm.strategy == reference}
    told: dict[str, None] = {}
    for arm in main:
        other = against.get(arm.tested_at)
        if arm.strategy == reference or other is None:
            continue
        both = common_seeds(arm, other)
        if set(both) == {*arm.predictions.seeds, *other.predictions.seeds}:
            continue
        if both:
            what = f"only over {_seeds(both)}, which both have"
        else:
            what = "not at all: they have no seed in common"
        told[f"{arm.strategy} is compared with {reference} {what}"] = None
    yield from told


def _one_site_classes(results: Results) -> Iterator[str]:
    """What tells the class may then be what tells the site."""
    if len(results.sites) < 2:
        return
    for name in results.task.classes:
        sites = [
            site
            for site, data in results.sites.items()
            if any(part.get(name) for part in (data.train, data.validation, data.test))
        ]
        if len(sites) == 1:
            yield (
                f"class {name} occurs at {_site(sites[0])} only: what tells the class may be what "
                "tells the site"
            )


def _one_class_sites(experiment: Experiment) -> Iterator[str]:
    for site, (positives, negatives) in _patients(experiment).items():
        if not negatives:
            yield f"{_site(site)} has positives only: sensitivity alone is defined there"
        elif not positives:
            yield f"{_site(site)} has negatives only: specificity alone is defined there"


def _few(experiment: Experiment) -> Iterator[str]:
    for site, (positives, negatives) in _patients(experiment).items():
        if positives and negatives:
            few = [
                f"{count} {name} patient{'s' * (count > 1)}"
                for count, name in ((positives, "positive"), (negatives, "negative"))
                if count < FEW
            ]
            if few:
                yield f"{_site(site)} tests {_and(few)}: its intervals are rough"


def _uncalled(tested: Iterable[Tested]) -> Iterator[str]:
    places: dict[str, list[str]] = {}
    for one in tested:
        main = one.unit == "scan" and one.trained_at in (ALL_SITES, OWN)
        if main and one.figures["precision"].mean is None:
            places.setdefault(one.strategy, []).append(_test_set(one))
    for strategy, where in places.items():
        yield (
            f"{strategy} calls no case positive at {_and(where)} in at least one seed: precision "
            "is not defined there"
        )


def _binned(tested: Iterable[Tested]) -> Iterator[str]:
    for one in tested:
        exact, binned = one.figures["auc"].mean, one.auc_binned
        if exact is not None and binned is not None and abs(exact - binned) > BINNED:
            model = "" if one.trained_at == ALL_SITES else f" (trained at {one.trained_at})"
            yield (
                f"the AUC of {one.strategy}{model} at {_test_set(one)} is {exact:.4f}, but "
                f"{binned:.4f} from the counts that a site would send: its scores share few bins"
            )


def _patients(experiment: Experiment) -> dict[str, tuple[int, int]]:
    """Site → patients with a positive case, and with a negative one."""
    found = {}
    for site, cases in experiment.sites.items():
        positive = cases.labels == experiment.positive
        found[site] = (
            len(np.unique(cases.patients[positive])),
            len(np.unique(cases.patients[~positive])),
        )
    return found


def _test_set(one: Tested) -> str:
    return "all sites together" if one.tested_at == ALL_SITES else _site(one.tested_at)


def _site(name: str) -> str:
    return name if name.startswith("site") else f"site {name}"


def _sites(names: Iterable[str]) -> str:
    return _and(map(_site, names))


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed{'s' * (len(seeds) > 1)} {_and(map(str, seeds))}"


def _and(words: Iterable[str]) -> str:
    names = list(words)
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
