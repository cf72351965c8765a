"""Counts, measures, files of predictions, and averages over samples."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.near import near
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score
from torch import nn

from ucadi_flwr.evaluation.counts import SCORE_BINS, Counts, score_bin
from ucadi_flwr.evaluation.metrics import from_counts, from_predictions
from ucadi_flwr.evaluation.predict import probabilities
from ucadi_flwr.results.predictions import read_predictions, write_predictions


def draw(seed: int, n: int = 300, classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    logits = rng.normal(size=(n, classes)) * 2 + np.eye(classes)[labels]
    scores = np.exp(logits)
    return scores / scores.sum(axis=1, keepdims=True), labels.astype(np.int64)


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_binned_auc_is_within_the_pairs_that_share_a_bin(seed: int) -> None:
    scores, labels = draw(seed)
    counts = Counts.of(scores, labels)
    for c in range(3):
        truth = labels == c
        bins = score_bin(scores[:, c])
        same = sum(
            int((bins[truth] == b).sum()) * int((bins[~truth] == b).sum()) for b in np.unique(bins)
        )
        bound = 0.5 * same / (truth.sum() * (~truth).sum())
        assert abs(counts.auc(c) - roc_auc_score(truth, scores[:, c])) <= bound + 1e-12
        assert bound < 0.002


def test_counts_of_two_sites_add_up_to_the_pooled_counts() -> None:
    scores, labels = draw(1)
    total = Counts.of(scores[:100], labels[:100]) + Counts.of(scores[100:], labels[100:])
    pooled = Counts.of(scores, labels)
    assert np.array_equal(total.to_vector(), pooled.to_vector())
    back = Counts.from_vector(pooled.to_vector(), 3)
    assert np.array_equal(back.confusion, pooled.confusion)
    assert np.array_equal(back.histograms, pooled.histograms)


def test_the_bins_are_ordered_and_include_0_and_1() -> None:
    scores = np.array([0.0, 1e-300, 1e-5, 0.4, 0.5, 0.6, 1 - 1e-5, 1.0])
    bins = score_bin(scores)
    assert (np.diff(bins) >= 0).all()
    assert bins[0] == 0
    assert bins[-1] == SCORE_BINS - 1
    assert bins[4] == SCORE_BINS // 2


@pytest.mark.parametrize(
    "vector",
    [
        np.zeros(5, np.int64),
        np.zeros(4 * (SCORE_BINS + 1), np.float64),
        np.full(4 * (SCORE_BINS + 1), -1, np.int64),
    ],
)
def test_vectors_that_are_not_counts_are_refused(vector: np.ndarray) -> None:
    with pytest.raises(ValueError, match="count"):
        Counts.from_vector(vector, 2)


def test_measures_by_hand() -> None:
    scores = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.8, 0.2], [0.2, 0.8], [0.1, 0.9]])
    labels = np.array([0, 0, 0, 1, 1, 1])
    measures = from_predictions(scores, labels, positive=1)
    assert measures.confusion == [[2, 1], [1, 2]]
    assert (measures.n, measures.accuracy) == (6, near(4 / 6))
    assert measures.sensitivity == pytest.approx(2 / 3)
    assert measures.specificity == pytest.approx(2 / 3)
    assert measures.auc == pytest.approx(
        7 / 9
    )  # pairs: .2 is above .1 only; .8 and .9 are above all


def test_one_of_three_classes_against_the_others() -> None:
    labels = np.array([0, 1, 2, 2])
    scores = np.eye(3)[[0, 1, 0, 1]] * 0.8 + 0.05
    measures = from_predictions(scores / scores.sum(1, keepdims=True), labels, positive=1)
    assert measures.sensitivity == 1.0
    assert measures.specificity == pytest.approx(2 / 3)  # one of three negatives is called 1
    assert measures.accuracy == 0.5


@pytest.mark.parametrize("label", [0, 1])
def test_with_one_class_some_measures_are_undefined(label: int) -> None:
    scores = np.array([[0.9, 0.1], [0.2, 0.8]])
    labels = np.array([label, label])
    for measures in (
        from_predictions(scores, labels, 1),
        from_counts(Counts.of(scores, labels), 1),
    ):
        assert measures.auc is None
        assert (measures.sensitivity is None) == (label == 0)
        assert (measures.specificity is None) == (label == 1)


def test_counts_give_the_same_measures_except_the_auc() -> None:
    scores, labels = draw(7)
    exact, binned = from_predictions(scores, labels, 2), from_counts(Counts.of(scores, labels), 2)
    assert binned.as_dict() | {"auc": None} == exact.as_dict() | {"auc": None}
    assert binned.auc == pytest.approx(exact.auc, abs=0.002)


def test_predictions_are_read_from_the_file_bit_for_bit(tmp_path: Path) -> None:
    scores, labels = draw(3, n=20)
    path = tmp_path / "all" / "site.csv"
    cases = [(f"case, {i}", f"p{i}") for i in range(20)]
    write_predictions(path, cases, labels, scores, ["a", "b", "c"])
    read = read_predictions(path, ["a", "b", "c"])
    assert read.probabilities.tobytes() == scores.tobytes()
    assert np.array_equal(read.labels, labels)
    assert [p.name for p in path.parent.iterdir()] == ["site.csv"]


class Stacks(torch.utils.data.Dataset[dict[str, torch.Tensor]]):
    def __init__(self, stacks: list[torch.Tensor]) -> None:
        self.stacks = stacks

    def __len__(self) -> int:
        return len(self.stacks)

    def __getitem__(self, i: int) -> dict[str, torch.Tensor]:
        return {"image": self.stacks[i]}


def test_probabilities_are_averaged_over_the_samples_of_a_case() -> None:
    torch.manual_seed(0)
    stacks = [torch.randn(n, 4) for n in (5, 1, 5, 30, 2, 5, 5)]
    model = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.9))
    model.train()
    averaged = probabilities(model, Stacks(stacks), torch.device("cpu"))
    assert not model.training
    with torch.no_grad():
        expected = [torch.softmax(model(s).double(), 1).mean(0).numpy() for s in stacks]
    np.testing.assert_allclose(averaged, expected, atol=1e-7)
