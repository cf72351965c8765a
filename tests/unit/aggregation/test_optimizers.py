"""Server optimisers against a slow transcription of the papers' equations."""

import numpy as np
import pytest

from ucadi_flwr.aggregation.optimizers import Moments, step
from ucadi_flwr.recipes.strategy import Average, FedAdam, FedAvgM

RNG = np.random.default_rng(0)
ROUNDS = 4


def random_state() -> dict[str, np.ndarray]:
    return {name: RNG.normal(size=3).astype(np.float32) for name in ("w", "running_mean")}


MEANS = [random_state() for _ in range(ROUNDS)]
START = random_state()


def run(optimizer: Average | FedAvgM | FedAdam) -> list[dict[str, np.ndarray]]:
    state, moments, path = START, Moments(), []
    for mean in MEANS:
        state, moments = step(optimizer, state, mean, moments, ["w"])
        path.append(state)
    return path


@pytest.mark.parametrize(
    "optimizer",
    [Average(name="average"), FedAvgM(name="fedavgm"), FedAdam(name="fedadam")],
    ids=lambda o: o.name,
)
def test_running_statistics_take_the_mean(optimizer: Average | FedAvgM | FedAdam) -> None:
    for state, mean in zip(run(optimizer), MEANS, strict=True):
        assert state["running_mean"].tobytes() == mean["running_mean"].tobytes()
        assert state["w"].dtype == np.float32


def test_average_is_the_mean() -> None:
    for state, mean in zip(run(Average(name="average")), MEANS, strict=True):
        assert state["w"].tobytes() == mean["w"].tobytes()


def test_fedavgm_without_momentum_at_rate_one_is_the_mean() -> None:
    for state, mean in zip(run(FedAvgM(name="fedavgm", momentum=0.0)), MEANS, strict=True):
        np.testing.assert_allclose(state["w"], mean["w"], rtol=1e-6, atol=1e-7)


def test_fedavgm_equals_the_paper_by_hand() -> None:
    states = run(FedAvgM(name="fedavgm", **{"learning-rate": 0.5, "momentum": 0.8}))
    for i in range(3):
        x, m = float(START["w"][i]), 0.0
        for state, mean in zip(states, MEANS, strict=True):
            m = 0.8 * m + (float(mean["w"][i]) - x)
            x = x + 0.5 * m
            assert state["w"][i] == pytest.approx(x, rel=1e-5)


def test_fedadam_equals_the_paper_by_hand() -> None:
    values = {"learning-rate": 0.1, "beta1": 0.7, "beta2": 0.95, "tau": 0.01}
    states = run(FedAdam(name="fedadam", **values))
    for i in range(3):
        x, m, v = float(START["w"][i]), 0.0, 0.01**2
        for state, mean in zip(states, MEANS, strict=True):
            delta = float(mean["w"][i]) - x
            m = 0.7 * m + 0.3 * delta
            v = 0.95 * v + 0.05 * delta**2
            x = x + 0.1 * m / (v**0.5 + 0.01)
            assert state["w"][i] == pytest.approx(x, rel=1e-5)


def test_the_input_is_not_changed() -> None:
    before = {name: values.copy() for name, values in START.items()}
    run(FedAdam(name="fedadam"))
    assert all(np.array_equal(START[name], before[name]) for name in START)
