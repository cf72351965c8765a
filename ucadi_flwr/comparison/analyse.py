"""The analysis of an experiment: read its predictions, then compute all that the report shows."""

from pathlib import Path

from ucadi_flwr.comparison.arms import arms
from ucadi_flwr.comparison.differences import choose_reference, differences
from ucadi_flwr.comparison.embeddings import embeddings
from ucadi_flwr.comparison.loading import load
from ucadi_flwr.comparison.measures import measure_arm
from ucadi_flwr.comparison.readers import compare_with_readers
from ucadi_flwr.comparison.warnings import find_warnings
from ucadi_flwr.results.analysis import Analysis
from ucadi_flwr.results.experiment import Results


def analyse(
    out: Path, results: Results, reference: str | None = None, readers: Path | None = None
) -> Analysis:
    """Analyse the predictions in an experiment's folder; the same files give the same analysis.

    Args:
        out: the folder of the experiment.
        results: its results.json, with at least one finished run that was tested.
        reference: the strategy that the others are compared with; by default fedavg, else the
            first strategy with one model of all sites.
        readers: a readers.csv (:mod:`ucadi_flwr.results.readers`).

    Raises:
        DataError: a file is missing, broken or does not match the others, or no finished run has
            the strategy ``reference``.
    """
    experiment = load(out, results)
    every_arm = arms(experiment)
    chosen = choose_reference(every_arm, reference)
    studies = compare_with_readers(readers, experiment, every_arm, chosen) if readers else []
    rows = [measure_arm(arm, experiment.classes, experiment.positive) for arm in every_arm]
    return Analysis(
        reference=chosen,
        positive_class=results.task.positive_class,
        tested=rows,
        differences=differences(every_arm, chosen, experiment.positive),
        readers=studies,
        embeddings=embeddings(out, results, rows, chosen),
        warnings=find_warnings(results, experiment, every_arm, rows, chosen),
    )
