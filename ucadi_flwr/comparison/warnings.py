"""Reasons to be careful with the results: one sentence each, shown at the top of the report."""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ucadi_flwr.comparison.arms import Arm
from ucadi_flwr.comparison.differences import common_seeds
from ucadi_flwr.comparison.loading import Experiment
from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.results.analysis import OWN, Tested
from ucadi_flwr.results.experiment import Results

FEW = 10
"""A site with fewer positive, or fewer negative, patients than this gets a warning."""

MAX_BINNING_ERROR = 0.002
"""A larger difference between the AUC from counts and the exact AUC gets a warning."""

_MAX_REASON = 200  # characters


def find_warnings(
    results: Results,
    experiment: Experiment,
    every_arm: Sequence[Arm],
    tested: Sequence[Tested],
    reference: str,
) -> list[str]:
    """All warnings: first about the runs, then the cases, then the measures.

    Args:
        results: the experiment's results.json.
        experiment: its predictions.
        every_arm: its arms.
        tested: their measures.
        reference: the strategy that the others are compared with.
    """
    return [
        *_failed(results),
        *_not_tested(experiment),
        *_unpaired(every_arm, reference),
        *_one_site_classes(results),
        *_one_class_sites(experiment),
        *_few(experiment),
        *_no_positive_decision(tested),
        *_binned(tested),
    ]


def _failed(results: Results) -> Iterator[str]:
    for cell in results.cells:
        if cell.error is not None:
            reason = " ".join(cell.error.split()).rstrip(".")
            if len(reason) > _MAX_REASON:
                reason = reason[:_MAX_REASON] + "…"
            yield f"{cell.strategy.name}, seed {cell.seed} failed and is in no result: {reason}"


def _not_tested(experiment: Experiment) -> Iterator[str]:
    """Seeds that were not tested at a site, and local strategies without a model there."""
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
                "it is left out of the results there and of those of all sites together"
            )
    for strategy in experiment.strategies:
        of_strategy = [model for model in experiment.models if model.strategy == strategy]
        if any(model.trained_at == ALL_SITES for model in of_strategy):
            continue
        with_model = {
            site for model in of_strategy for site in model.scores if site == model.trained_at
        }
        without = [site for site in experiment.sites if site not in with_model]
        if without:
            yield (
                f"{strategy} has no model that was trained at {_sites(without)}: it is compared "
                "only at the other sites, not on all cases"
            )


def _unpaired(every_arm: Sequence[Arm], reference: str) -> Iterator[str]:
    main = [arm for arm in every_arm if arm.main and arm.unit == "scan"]
    of_reference = {arm.tested_at: arm for arm in main if arm.strategy == reference}
    sentences: dict[str, None] = {}  # in order, each once
    for arm in main:
        other = of_reference.get(arm.tested_at)
        if arm.strategy == reference or other is None:
            continue
        both = common_seeds(arm, other)
        if set(both) == {*arm.predictions.seeds, *other.predictions.seeds}:
            continue
        if both:
            sentence = (
                f"{arm.strategy} is compared with {reference} only over {_seeds(both)}, which both "
                "have"
            )
        else:
            sentence = (
                f"{arm.strategy} is not compared with {reference}: they have no seed in common"
            )
        sentences[sentence] = None
    yield from sentences


def _one_site_classes(results: Results) -> Iterator[str]:
    """Classes that only one site has: the class is then confounded with the site."""
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
                f"class {name} occurs at {_site(sites[0])} only: a model may recognise the site "
                "instead of the class"
            )


def _one_class_sites(experiment: Experiment) -> Iterator[str]:
    for site, (positives, negatives) in _patients(experiment).items():
        if not (positives and negatives):
            only = "positive" if positives else "negative"
            other = "specificity" if positives else "sensitivity"
            yield f"{_site(site)} has only {only} cases: AUC and {other} are not defined there"


def _few(experiment: Experiment) -> Iterator[str]:
    for site, (positives, negatives) in _patients(experiment).items():
        if positives and negatives:
            few = [
                f"{count} {name} patient{'s' * (count > 1)}"
                for count, name in ((positives, "positive"), (negatives, "negative"))
                if count < FEW
            ]
            if few:
                yield f"{_site(site)} has only {_and(few)} in its test: its intervals are imprecise"


def _no_positive_decision(tested: Iterable[Tested]) -> Iterator[str]:
    places: dict[str, list[str]] = {}
    for row in tested:
        main = row.unit == "scan" and row.trained_at in (ALL_SITES, OWN)
        if main and row.figures["precision"].mean is None:
            places.setdefault(row.strategy, []).append(_test_set(row))
    for strategy, where in places.items():
        yield (
            f"{strategy} decides positive for no case at {_and(where)} in at least one seed: "
            "precision is not defined there"
        )


def _binned(tested: Iterable[Tested]) -> Iterator[str]:
    for row in tested:
        exact, binned = row.figures["auc"].mean, row.auc_binned
        if exact is not None and binned is not None and abs(exact - binned) > MAX_BINNING_ERROR:
            trained_at = {ALL_SITES: "", OWN: " (each site's own model)"}
            model = trained_at.get(row.trained_at, f" (trained at {row.trained_at})")
            yield (
                f"the AUC of {row.strategy}{model} at {_test_set(row)} is {exact:.4f}, but "
                f"{binned:.4f} from the counts that a site would send: its scores fall into few "
                "bins"
            )


def _patients(experiment: Experiment) -> dict[str, tuple[int, int]]:
    """Site → number of patients with a positive case, and with a negative case."""
    counts = {}
    for site, cases in experiment.sites.items():
        positive = cases.labels == experiment.positive
        counts[site] = (
            len(np.unique(cases.patients[positive])),
            len(np.unique(cases.patients[~positive])),
        )
    return counts


def _test_set(row: Tested) -> str:
    return "all sites together" if row.tested_at == ALL_SITES else _site(row.tested_at)


def _site(name: str) -> str:
    return name if name.startswith("site") else f"site {name}"


def _sites(names: Iterable[str]) -> str:
    return _and(map(_site, names))


def _seeds(seeds: Sequence[int]) -> str:
    return f"seed{'s' * (len(seeds) > 1)} {_and(map(str, seeds))}"


def _and(words: Iterable[str]) -> str:
    names = list(words)
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]]))
