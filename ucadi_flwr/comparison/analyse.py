"""The analysis of an experiment: read what it keeps, then compute everything that is shown."""

from pathlib import Path

from ucadi_flwr.comparison.arms import arms
from ucadi_flwr.comparison.differences import choose_reference, differences
from ucadi_flwr.comparison.embeddings import embeddings
from ucadi_flwr.comparison.loading import load
from ucadi_flwr.comparison.measures import tested
from ucadi_flwr.comparison.readers import readers as against_readers
from ucadi_flwr.comparison.warnings import cautions
from ucadi_flwr.results.analysis import Analysis
from ucadi_flwr.results.experiment import Results


def analyse(
    out: Path, results: Results, reference: str | None = None, readers: Path | None = None
) -> Analysis:
    """From the predictions in the experiment's folder ``out``; the same files give the same result.

    ``reference``: the strategy that the others are compared with, by default fedavg, else the first
    with one model of all sites. ``readers``: a readers.csv
    (:mod:`ucadi_flwr.results.readers`). Raises :class:`ucadi_flwr.errors.DataError` for files
    that are missing, broken or do not compare.
    """
    experiment = load(out, results)
    found = arms(experiment)
    chosen = choose_reference(found, reference)
    study = against_readers(readers, experiment, found, chosen) if readers else []
    rows = [tested(arm, experiment.classes, experiment.positive) for arm in found]
    return Analysis(
        reference=chosen,
        positive_class=results.task.positive_class,
        tested=rows,
        differences=differences(found, chosen, experiment.positive),
        readers=study,
        embeddings=embeddings(out, results, rows, chosen),
        warnings=cautions(results, experiment, found, rows, chosen),
    )
