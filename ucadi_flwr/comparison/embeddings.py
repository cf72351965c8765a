"""The features of all sites' test cases, together: placed in a plane, and as silhouettes."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ucadi_flwr.errors import DataError
from ucadi_flwr.evaluation.neighbours import perplexity_of, silhouette, tsne
from ucadi_flwr.recipes.base import ALL_SITES
from ucadi_flwr.results.analysis import FEWEST_POINTS, Embedding, Tested
from ucadi_flwr.results.experiment import Results
from ucadi_flwr.results.features import MAX_CASES, chosen, read_features
from ucadi_flwr.results.layout import ExperimentFolder

MAX_POINTS = 500
"""Cases in one picture; if there are more, this many are drawn, the same for every strategy."""


def embeddings(
    out: Path, results: Results, tested: Sequence[Tested], reference: str
) -> list[Embedding]:
    """The embeddings of the reference and of the federated strategy with the highest AUC.

    Each is of the strategy's first seed. A strategy has none without one model of all sites, or if
    the sites kept no features in ``<strategy>/seed<k>/features/all/<site>.safetensors``.

    Args:
        out: the folder of the experiment.
        results: its results.json.
        tested: the measures, for the AUC on all cases.
        reference: the strategy that the others are compared with.

    Raises:
        DataError: a file of features cannot be read or does not match the others.
    """
    strategies = dict.fromkeys([reference, *_best(results, tested)])
    embedded = [_of_strategy(out, results, strategy) for strategy in strategies]
    return [embedding for embedding in embedded if embedding is not None]


def _best(results: Results, tested: Sequence[Tested]) -> Iterator[str]:
    """The federated strategy with the highest AUC on all cases; the first of several."""
    pooled = {
        cell.strategy.name
        for cell in results.cells
        if cell.rounds and all(set(record.sites) == {ALL_SITES} for record in cell.rounds)
    }
    of_all = {
        row.strategy: auc
        for row in tested
        if (row.trained_at, row.tested_at, row.unit) == (ALL_SITES, ALL_SITES, "scan")
        if row.strategy not in pooled and (auc := row.figures["auc"].mean) is not None
    }
    if of_all:
        yield max(of_all, key=lambda strategy: of_all[strategy])


def _of_strategy(out: Path, results: Results, strategy: str) -> Embedding | None:
    seeds = [
        cell.seed
        for cell in results.cells
        if cell.strategy.name == strategy and cell.error is None
        if any(model.trained_at == ALL_SITES for model in cell.models)
    ]
    if not seeds:
        return None
    seed = min(seeds)
    folder = ExperimentFolder(out).run(strategy, seed)
    files = {site: folder.features_of(ALL_SITES, site) for site in results.sites}
    sites = [site for site, path in files.items() if path.is_file()]
    if not sites:
        return None
    tests = {site: sum(results.sites[site].test.values()) for site in sites}
    read = [_checked(files[site], tests[site], results) for site in sites]
    if len(widths := {rows.shape[1] for rows, _ in read}) > 1:
        raise DataError(
            f"{files[sites[0]].parent}: the sites have {sorted(widths)} features per case, so they "
            "are of different models; run the experiment again"
        )
    drawn = chosen(sum(len(rows) for rows, _ in read), MAX_POINTS)
    features = np.concatenate([rows for rows, _ in read])[drawn]
    labels = np.concatenate([of_site for _, of_site in read])[drawn]
    site = np.repeat(np.arange(len(sites)), [len(rows) for rows, _ in read])[drawn]
    embedding = Embedding(
        strategy=strategy,
        seed=seed,
        sites=sites,
        of=sum(tests.values()),
        features=features.shape[1],
        label=labels.tolist(),
        site=site.tolist(),
        silhouette_class=silhouette(features, labels),
        silhouette_site=silhouette(features, site),
    )
    if len(features) < FEWEST_POINTS or (features == features[0]).all():
        return embedding
    plane = tsne(features)
    return embedding.model_copy(
        update={
            "perplexity": perplexity_of(len(features)),
            "x": plane[:, 0].round(3).tolist(),
            "y": plane[:, 1].round(3).tolist(),
        }
    )


def _checked(
    path: Path, cases: int, results: Results
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    features, labels = read_features(path, len(results.task.classes))
    if len(labels) != min(cases, MAX_CASES):
        raise DataError(f"{path}: {len(labels)} cases, but {cases} were tested; delete the file")
    return features, labels
