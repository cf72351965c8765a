"""AUC over seeds with its interval, and the difference between the AUCs of two strategies."""

from ucadi_flwr.comparison.cases import Predictions
from ucadi_flwr.comparison.seeds import estimate
from ucadi_flwr.evaluation.delong import AucComponents, auc_components
from ucadi_flwr.evaluation.intervals import AucEstimate
from ucadi_flwr.evaluation.paired import delong_test
from ucadi_flwr.results.analysis import UNDEFINED, Estimate


def auc_estimate(predictions: Predictions, of_class: int, level: float = 0.95) -> Estimate:
    """AUC of one class against the others, mean over seeds; undefined with cases of one class only.

    The interval is for the same trained models on other cases. It is computed on the logit scale
    from DeLong's components, averaged over the seeds
    (:meth:`ucadi_flwr.evaluation.delong.AucComponents.mean`), or by Newcombe's method if the
    variance is 0 (:class:`ucadi_flwr.evaluation.intervals.AucEstimate`). It does not include the
    variation between seeds, which is the SD.

    Args:
        predictions: of one strategy on one test set.
        of_class: index of the class.
        level: of the confidence interval.
    """
    of_seeds = _components(predictions, of_class)
    if of_seeds is None:
        return UNDEFINED
    of_mean = AucEstimate.of(AucComponents.mean(of_seeds))
    return estimate([components.auc for components in of_seeds], of_mean.interval(level))


def auc_difference(
    a: Predictions, b: Predictions, of_class: int, level: float = 0.95
) -> tuple[Estimate, float | None, str] | None:
    """AUC of A minus that of B, mean over seeds: the estimate, its p-value, the test's name.

    DeLong's paired test (:func:`ucadi_flwr.evaluation.paired.delong_test`) of the differences of
    the components, averaged over seeds. None if all cases are of one class.

    Args:
        a: predictions of A.
        b: predictions of B on the same cases, with the same seeds.
        of_class: index of the class whose AUC is compared.
        level: of the confidence interval.
    """
    components_a, components_b = _components(a, of_class), _components(b, of_class)
    if components_a is None or components_b is None:
        return None
    differences = [of_a - of_b for of_a, of_b in zip(components_a, components_b, strict=True)]
    test = delong_test(AucComponents.mean(differences), level)
    return estimate([one.auc for one in differences], test.interval), test.p, test.method


def _components(predictions: Predictions, of_class: int) -> list[AucComponents] | None:
    """The components of every seed; None if all cases are of one class."""
    truth = predictions.labels == of_class
    of_seeds = [
        auc_components(truth, probabilities[:, of_class], predictions.patients)
        for probabilities in predictions.probabilities
    ]
    return [components for components in of_seeds if components is not None] or None
