"""Measures of decisions compared with scikit-learn's, and undefined measures."""

import numpy as np
import pytest
from numpy.typing import ArrayLike
from sklearn.metrics import (
    accuracy_score,
    confusion_matrix,
    f1_score,
    precision_score,
    recall_score,
)

from ucadi_flwr.comparison.cases import Predictions
from ucadi_flwr.comparison.measures import all_measures, confusion


def decided(labels: ArrayLike, called: ArrayLike, classes: int) -> Predictions:
    """Predictions of one seed that are certain of ``called``."""
    truth, decisions = np.asarray(labels, np.int64), np.asarray(called, np.int64)
    return Predictions((0,), truth, np.arange(len(truth)), np.eye(classes)[decisions[None]])


@pytest.mark.parametrize("positive", [0, 1, 2])
def test_three_classes_agree_with_scikit_learn(positive: int) -> None:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 200)
    called = np.where(rng.random(200) < 0.7, labels, rng.integers(0, 3, 200))
    measures = all_measures(decided(labels, called, 3), positive)
    truth, call = labels == positive, called == positive
    expected = {
        "f1": f1_score(truth, call),
        "precision": precision_score(truth, call),
        "sensitivity": recall_score(truth, call),
        "specificity": recall_score(~truth, ~call),
        "fpr": 1 - recall_score(~truth, ~call),
        "accuracy": accuracy_score(labels, called),
    }
    assert {name: measures[name].mean for name in expected} == pytest.approx(expected)
    assert confusion(decided(labels, called, 3)) == confusion_matrix(labels, called).tolist()


def means(labels: ArrayLike, called: ArrayLike) -> dict[str, float | None]:
    return {
        name: measure.mean for name, measure in all_measures(decided(labels, called, 2), 1).items()
    }


def test_undefined_measures_are_none() -> None:
    healthy = means([0] * 7, [0] * 7)
    assert (healthy["f1"], healthy["precision"], healthy["sensitivity"]) == (None, None, None)
    assert (healthy["specificity"], healthy["fpr"], healthy["auc"]) == (1.0, 0.0, None)
    missed = means([1] * 3, [0] * 3)
    assert (missed["precision"], missed["specificity"], missed["fpr"]) == (None, None, None)
    assert (missed["f1"], missed["sensitivity"]) == (0.0, 0.0)
