"""Adaptive slice sampling, compared with S0's table row by row."""

from collections.abc import Hashable

import numpy as np
import pytest
import torch

from ucadi_flwr.data.sampling import (
    SampleSlicesd,
    StackSamplesd,
    slice_indices,
    start_range,
    take_slices,
)

TABLE = [  # z, training, stride, low, high (exclusive)
    (17, True, 1, 0, 1),
    (17, False, 1, 0, 1),
    (80, True, 1, 0, 64),
    (80, False, 1, 0, 64),
    (81, True, 2, 10, 21),
    (81, False, 2, 10, 21),
    (160, True, 2, 10, 100),
    (160, False, 2, 10, 100),
    (161, True, 5, 20, 31),
    (161, False, 5, 30, 41),
    (400, True, 5, 20, 270),
    (400, False, 5, 30, 280),
]


@pytest.mark.parametrize(("z", "training", "stride", "low", "high"), TABLE)
def test_the_paper_s_table(z: int, training: bool, stride: int, low: int, high: int) -> None:
    assert start_range(z, 16, training=training) == (stride, low, high)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("depth", [8, 16, 32])
def test_samples_are_within_the_scan_and_reach_both_ends_of_the_range(
    depth: int, training: bool
) -> None:
    rng = np.random.default_rng(0)
    for z in range(depth + 1, 40 * depth, 7):
        stride, low, high = start_range(z, depth, training=training)
        starts = set()
        for _ in range(30):
            indices = slice_indices(z, depth, rng, training=training)
            assert len(indices) == depth
            assert indices.min() >= 0
            assert indices.max() < z
            assert (np.diff(indices) == stride).all()
            starts.add(int(indices[0]))
        assert starts <= set(range(low, high))
    few = {int(slice_indices(depth + 3, depth, rng, training=True)[0]) for _ in range(60)}
    assert few == {0, 1, 2}


def test_short_scans_are_padded_once_with_the_cohort_s_mean() -> None:
    volume = torch.arange(1.0, 6.0)[None, :, None, None].expand(1, 5, 2, 2)
    padded = take_slices(volume, 16, None)
    assert padded.shape == (1, 16, 2, 2)
    column = padded[0, :, 0, 0].tolist()
    assert column == [0.0] * 5 + [1.0, 2.0, 3.0, 4.0, 5.0] + [0.0] * 6


def test_exactly_enough_slices_pass_unchanged() -> None:
    volume = torch.randn(1, 16, 3, 3)
    item: dict[Hashable, object] = {"image": volume, "name": "a"}
    assert torch.equal(SampleSlicesd("image", 16)(item)["image"], volume)
    assert torch.equal(StackSamplesd("image", 16, 5)(item)["image"], volume[None])


def test_training_samples_follow_the_random_state() -> None:
    image = torch.arange(120.0)[None, :, None, None].expand(1, 120, 2, 2)
    item: dict[Hashable, object] = {"image": image}
    transform = SampleSlicesd("image", 16)
    transform.set_random_state(seed=1)
    first = [float(transform(item)["image"][0, 0, 0, 0]) for _ in range(8)]
    transform.set_random_state(seed=1)
    assert [float(transform(item)["image"][0, 0, 0, 0]) for _ in range(8)] == first
    assert len(set(first)) > 1


def test_test_samples_depend_on_the_case_only() -> None:
    volume = torch.arange(120.0)[None, :, None, None].expand(1, 120, 2, 2)
    transform = StackSamplesd("image", 16, 5)
    stacks = {name: transform({"image": volume, "name": name})["image"] for name in "abab"}
    assert stacks["a"].shape == (5, 1, 16, 2, 2)
    again = transform({"image": volume, "name": "a"})["image"]
    assert torch.equal(stacks["a"], again)
    assert not torch.equal(stacks["a"], stacks["b"])
    starts = {float(sample[0, 0, 0, 0]) for sample in stacks["a"]}
    assert len(starts) > 1
