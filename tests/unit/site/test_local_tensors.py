"""The tensors that stay at a site, between messages."""

from pathlib import Path

import numpy as np
import pytest

from ucadi_flwr.errors import DataError
from ucadi_flwr.site.local_tensors import LocalTensors


def tensors(value: float) -> dict[str, np.ndarray]:
    return {"norm.weight": np.full((2, 3), value, np.float32)}


def value(own: LocalTensors, server_round: int) -> float | None:
    state = own.after(server_round)
    return float(state["norm.weight"][0, 0]) if state else None


def test_a_round_is_taken_up_where_the_one_before_ended(tmp_path: Path) -> None:
    own = LocalTensors(tmp_path / "run")
    assert value(own, 0) is None
    for number in (1, 2, 3):
        own.keep(number, tensors(number))
    assert (value(own, 3), value(own, 2), value(own, 9)) == (3, 2, 3)
    assert value(own, 1) is None
    assert len(list((tmp_path / "run").iterdir())) == 2


def test_a_site_that_missed_rounds_goes_on_from_its_last(tmp_path: Path) -> None:
    own = LocalTensors(tmp_path)
    own.keep(2, tensors(2))
    own.keep(11, tensors(11))
    assert (value(own, 10), value(own, 11)) == (2, 11)


def test_a_round_that_is_repeated_replaces_its_own_and_forgets_later_ones(tmp_path: Path) -> None:
    own = LocalTensors(tmp_path)
    for number in (1, 2, 3):
        own.keep(number, tensors(number))
    own.keep(2, tensors(20))
    assert (value(own, 2), value(own, 3)) == (20, 20)


def test_a_view_is_kept_whole(tmp_path: Path) -> None:
    own = LocalTensors(tmp_path)
    own.keep(1, {"t": np.arange(6, dtype=np.float32).reshape(2, 3).T})
    assert own.after(1)["t"].tolist() == [[0, 3], [1, 4], [2, 5]]


def test_a_damaged_file_is_reported(tmp_path: Path) -> None:
    own = LocalTensors(tmp_path)
    (tmp_path / "own-4.safetensors").write_bytes(b"x" * 40)
    with pytest.raises(
        DataError, match=r"own-4\.safetensors: damaged .* starts with the run's initial"
    ):
        own.after(4)
