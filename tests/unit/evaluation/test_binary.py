"""Figures of one class against the rest."""

from dataclasses import astuple

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, f1_score, precision_score, recall_score

from ucadi_flwr.evaluation.binary import binary_figures
from ucadi_flwr.evaluation.intervals import wilson


def test_two_classes_by_hand() -> None:
    # TN 50, FP 10, FN 5, TP 35
    found = binary_figures([[50, 10], [5, 35]], positive=1)
    assert found.f1 == pytest.approx(70 / 85)
    for figure, k, n in [
        (found.precision, 35, 45),
        (found.sensitivity, 35, 40),
        (found.specificity, 50, 60),
        (found.fpr, 10, 60),
        (found.accuracy, 85, 100),
    ]:
        assert (figure.value, figure.successes, figure.n) == (k / n, k, n)
        assert figure.interval == wilson(k, n)
    assert binary_figures([[50, 10], [5, 35]], 1, level=0.9).fpr.interval == wilson(10, 60, 0.9)


@pytest.mark.parametrize("positive", [0, 1, 2])
def test_three_classes_as_scikit_learn_has_them(positive: int) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 200)
    called = np.where(rng.random(200) < 0.7, labels, rng.integers(0, 3, 200))
    found = binary_figures(confusion_matrix(labels, called), positive)
    truth, call = labels == positive, called == positive
    assert found.f1 == pytest.approx(f1_score(truth, call))
    assert found.precision.value == pytest.approx(precision_score(truth, call))
    assert found.sensitivity.value == pytest.approx(recall_score(truth, call))
    assert found.specificity.value == pytest.approx(recall_score(~truth, ~call))
    assert found.fpr.value == pytest.approx(1 - found.specificity.value)
    assert found.accuracy.value == pytest.approx((truth == call).mean())
    assert found.accuracy.value >= (labels == called).mean()


def test_what_is_undefined_is_none() -> None:
    assert astuple(binary_figures(np.zeros((2, 2), int), 1)) == (None,) * 6
    healthy = binary_figures([[7, 0], [0, 0]], positive=1)
    assert (healthy.f1, healthy.precision, healthy.sensitivity) == (None, None, None)
    assert (healthy.specificity.value, healthy.fpr.value) == (1.0, 0.0)
    missed = binary_figures([[0, 0], [3, 0]], positive=1)
    assert (missed.f1, missed.precision, missed.specificity, missed.fpr) == (0.0, None, None, None)
    assert missed.sensitivity.value == 0.0


@pytest.mark.parametrize(
    ("confusion", "positive", "message"),
    [
        ([[1, 2, 3], [4, 5, 6]], 1, "is \\(classes, classes\\)"),
        ([1, 2], 1, "is \\(classes, classes\\)"),
        ([[1.0, 2.0], [3.0, 4.0]], 1, "holds counts"),
        ([[1, 2], [-3, 4]], 1, "holds counts"),
        ([[1, 2], [3, 4]], 2, "class 2 of 2"),
        ([[1, 2], [3, 4]], -1, "class -1 of 2"),
    ],
)
def test_what_is_no_confusion_matrix_is_refused(
    confusion: list, positive: int, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        binary_figures(confusion, positive)
