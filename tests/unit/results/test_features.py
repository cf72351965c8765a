"""Features on file, and which cases have similar ones."""

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.known import known
from safetensors.numpy import save_file
from torch import nn

from ucadi_flwr.errors import DataError
from ucadi_flwr.evaluation.neighbours import perplexity_of, silhouette, tsne
from ucadi_flwr.evaluation.predict import recorded_inputs
from ucadi_flwr.results import features as module
from ucadi_flwr.results.features import chosen, read_features, write_features


def test_the_inputs_of_a_layer_are_recorded_while_it_is_open() -> None:
    model = nn.Sequential(nn.Flatten(), nn.ReLU(), nn.Linear(4, 2))
    images = torch.randn(5, 2, 2)
    with recorded_inputs(model[2]) as inputs:
        model(images[:3])
        model(images[3:])
    model(images)
    assert [one.shape for one in inputs] == [(3, 4), (2, 4)]
    assert torch.equal(torch.cat(inputs), images.flatten(1).clamp(min=0))
    assert not any(one.requires_grad for one in inputs)


def test_a_case_is_the_mean_of_its_samples(tmp_path: Path) -> None:
    samples = np.arange(12, dtype=np.float32).reshape(6, 2)  # two samples a case
    path = tmp_path / "features" / "a.safetensors"
    write_features(path, samples, np.array([1, 0, 1]))
    features, labels = read_features(path, 2)
    assert features.tolist() == [[1, 2], [5, 6], [9, 10]]
    assert labels.tolist() == [1, 0, 1]
    assert [p.name for p in path.parent.iterdir()] == ["a.safetensors"]
    with pytest.raises(ValueError, match="6 samples of 4 cases"):
        write_features(path, samples, np.zeros(4, np.int64))


def test_many_cases_and_features_are_drawn_alike(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_CASES", 10)
    monkeypatch.setattr(module, "MAX_FEATURES", 3)
    table = np.arange(200, dtype=np.float32).reshape(20, 10)
    for name in ("a", "b"):
        write_features(tmp_path / name, table, np.arange(20) % 2)
    (one, labels), (other, _) = (read_features(tmp_path / name, 2) for name in ("a", "b"))
    assert one.shape == (10, 3)
    assert np.array_equal(one, other)
    rows, columns = one[:, 0] // 10, one[0] % 10
    assert np.array_equal(one, rows[:, None] * 10 + columns)
    assert np.array_equal(labels, rows % 2)
    assert chosen(5, 5).tolist() == [0, 1, 2, 3, 4]
    assert chosen(100, 5).tolist() != chosen(100, 5, seed=1).tolist()


GOOD = {"features": np.ones((3, 2), np.float32), "labels": np.array([0, 1, 1])}


@pytest.mark.parametrize(
    "change",
    [
        {"features": np.ones(3, np.float32)},
        {"features": np.ones((2, 2), np.float32)},
        {"features": np.ones((3, 0), np.float32)},
        {"features": np.full((3, 2), np.nan, np.float32)},
        {"labels": np.array([0, 1, 2])},
        {"labels": np.array([0, -1, 1])},
        {"labels": np.array([0.0, 1.0, 1.0])},
    ],
)
def test_what_are_no_features_is_refused(tmp_path: Path, change: dict[str, np.ndarray]) -> None:
    save_file({**GOOD, **change}, tmp_path / "a")
    with pytest.raises(DataError, match="not the features of cases of 2 classes; delete it"):
        read_features(tmp_path / "a", 2)


def test_what_is_no_file_of_features_is_refused_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a"
    for content in (b"", b"x" * 40, b"\xff" * 8):
        path.write_bytes(content)
        with pytest.raises(DataError, match="no file of features") as caught:
            read_features(path, 2)
        assert "\n" not in str(caught.value)
    save_file({"features": GOOD["features"]}, path)
    with pytest.raises(DataError, match="no file of features"):
        read_features(path, 2)
    monkeypatch.setattr(module, "FEATURES_BYTES", 10)
    with pytest.raises(DataError, match="larger than 10 bytes"):
        read_features(path, 2)


def blobs(centres: list[float], each: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(len(centres)), each)
    table = rng.normal(size=(len(groups), 8)) + np.array(centres)[groups, np.newaxis]
    return table.astype(np.float32), groups


def test_neighbours_stay_neighbours_and_the_seed_is_the_picture() -> None:
    table, groups = blobs([0, 20, 40], 20)
    plane = tsne(table)
    assert plane.shape == (60, 2)
    assert np.array_equal(plane, tsne(table))
    distance = np.linalg.norm(plane[:, None] - plane, axis=2) + np.diag(np.full(60, np.inf))
    assert (groups[distance.argmin(axis=1)] == groups).all()


def test_perplexity_is_thirty_or_a_third_of_the_others() -> None:
    assert (perplexity_of(200), perplexity_of(91), perplexity_of(31)) == (30, 30, 10)


def test_silhouette() -> None:
    apart, groups = blobs([0, 20], 20)
    mixed, _ = blobs([0, 0], 20)
    assert known(silhouette(apart, groups)) > 0.8
    assert abs(known(silhouette(mixed, groups))) < 0.1
    # two and two on a line: a = 1 within, b = 10 and 9 or so between
    line = np.array([[0], [1], [10], [11]], np.float32)
    expected = np.mean([1 - 1 / 10.5, 1 - 1 / 9.5] * 2)
    assert silhouette(line, np.array([0, 0, 1, 1])) == pytest.approx(expected, rel=1e-6)
    assert silhouette(line, np.zeros(4, np.int64)) is None
    assert silhouette(line, np.arange(4)) is None
