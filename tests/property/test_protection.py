"""The opened sum equals integers in NumPy to the bit, and float FedAvg within the bound."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ucadi_flwr.models.densenet3d import DenseNet3d
from ucadi_flwr.models.state import read_state
from ucadi_flwr.protection.encoding.bfv_slots import digit, radix
from ucadi_flwr.protection.encoding.layout import Layout
from ucadi_flwr.protection.encoding.slots import PLAIN_MODULUS
from ucadi_flwr.protection.frame import MessageContext
from ucadi_flwr.protection.keys import SiteKey
from ucadi_flwr.protection.plan import IntegerPlan, ModelPlan
from ucadi_flwr.protection.server import SealedSum
from ucadi_flwr.protection.site import OpenedModel, SealedSite

State = dict[str, np.ndarray]

Case = tuple[ModelPlan, State, Sequence[State], Sequence[int], int]
"""A plan, a global model, the models and weights of the sites that answer, and W."""

KEY, CONTEXT = SiteKey.create("bfv"), MessageContext("run", 1)
CKKS_KEY = SiteKey.create("ckks")


@st.composite
def rounds(draw: st.DrawFn, most: int = 12) -> Case:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shapes = {
        "conv": (draw(st.integers(2, 5)), draw(st.integers(2049, 2500))),
        "bias": (draw(st.integers(1, 30)),),
        "other": (draw(st.integers(42, 45)), 10, 10),
        "scalar": (),
    }
    plan = ModelPlan("bfv", Layout(shapes), draw(st.sampled_from([2, 3, 4])), 128)
    size = draw(st.floats(1e-6, 5e5))

    def model(spread: float) -> State:
        return {
            n: np.asarray(rng.uniform(-spread, spread, s), np.float32) for n, s in shapes.items()
        }

    reference = model(size)
    if draw(st.booleans()):
        reference["conv"][:] = 0.0
    sites = draw(st.integers(2, most))
    weights = [int(w) for w in rng.integers(1, draw(st.sampled_from([2, 10, 10**6])), sites)]
    answered = sorted(draw(st.sets(st.integers(0, sites - 1), min_size=1)))
    states = []
    for _ in answered:
        state = model(size)
        for name in ("conv", "other"):  # within the range, and often at its end
            limit = np.float32(2 * np.abs(reference[name]).max() or 1.0)
            state[name] = np.clip(state[name] * np.float32(3.0), -limit, limit)
        states.append(state)
    return plan, reference, states, [weights[i] for i in answered], sum(weights)


def run_round(
    key: SiteKey,
    plan: ModelPlan,
    reference: State,
    states: Sequence[State],
    weights: Sequence[int],
    total_weight: int,
) -> OpenedModel:
    total = SealedSum(key.context, plan, CONTEXT, 1)
    for i, (state, weight) in enumerate(zip(states, weights, strict=True)):
        site = SealedSite(key, f"site-{i}", 1)
        total.add(site.seal(plan, CONTEXT, state, reference, weight, total_weight))
    return SealedSite(key, "site-0", 1).open(plan, CONTEXT, total.result())


def integer_mean(
    plan: ModelPlan,
    reference: State,
    states: Sequence[State],
    weights: Sequence[int],
    total_weight: int,
) -> tuple[State, dict[str, float], float]:
    """The mean in fixed point without slots, digits or ciphertexts; the unit of each tensor; Σα."""
    units, sums = {}, {}
    shares = [weight * 2**40 // total_weight for weight in weights]
    alpha = sum(shares) / 2**40
    for name, values in reference.items():
        if values.ndim > 1 and values.size > 4096:
            r = np.float32(2.0 * float(np.abs(values).max()) or 1.0)
            steps = radix(plan.values_per_slot) // 2 - plan.max_sites // 2 - 2
        else:
            r, steps = np.float32(2.0**19), 2**45
        units[name] = float(r) / steps
        sums[name] = sum(
            np.rint(state[name] * np.float64(share / 2**40 / units[name])).astype(np.int64)
            for state, share in zip(states, shares, strict=True)
        )
    mean = {n: np.asarray(sums[n] * (units[n] / alpha), np.float32) for n in reference}
    return mean, units, alpha


def check_exact(opened: OpenedModel, case: Case) -> None:
    mean, _, alpha = integer_mean(*case)
    assert opened.share == alpha
    for name, wanted in mean.items():
        assert opened.state[name].tobytes() == wanted.tobytes(), name


def check_bound(opened: OpenedModel, case: Case) -> None:
    """The bound of ucadi_flwr/protection/encoding/bfv_slots.py against FedAvg in float64."""
    plan, reference, states, weights, _ = case
    _, units, alpha = integer_mean(*case)
    steps = radix(plan.values_per_slot) // 2 - plan.max_sites // 2 - 2
    sites = len(states)
    for name, values in opened.state.items():
        exact = sum(
            s[name].astype(np.float64) * w for s, w in zip(states, weights, strict=True)
        ) / sum(weights)
        packed = reference[name].ndim > 1
        whole = units[name] * (steps if packed else 2**45)
        rounding = (sites + 1) * units[name] / (2 * alpha) + sites * 2.0**-39 * whole / alpha
        bound = rounding + 2.0**-24 * np.abs(exact)
        assert (np.abs(values - exact) <= bound).all(), name


@settings(max_examples=40, deadline=None)
@given(rounds())
def test_bfv_is_exact_whoever_drops_out(case: Case) -> None:
    opened = run_round(KEY, *case)
    check_exact(opened, case)
    check_bound(opened, case)


@settings(max_examples=4, deadline=None)
@given(rounds(most=100))
def test_bfv_is_exact_up_to_a_hundred_sites(case: Case) -> None:
    opened = run_round(KEY, *case)
    check_exact(opened, case)
    check_bound(opened, case)


def test_a_hundred_sites_of_the_smallest_model() -> None:
    rng = np.random.default_rng(1)
    plan = ModelPlan("bfv", Layout({"w": (2, 2049), "b": (3,)}), 4)
    reference = {"w": np.ones((2, 2049), np.float32), "b": np.ones(3, np.float32)}
    states = [
        {n: np.asarray(rng.choice([-2, 2], a.shape), np.float32) for n, a in reference.items()}
        for _ in range(100)
    ]
    case = (plan, reference, states, [1] * 100, 100)
    opened = run_round(KEY, *case)
    assert len(opened.members) == 100
    check_exact(opened, case)
    check_bound(opened, case)


@pytest.mark.parametrize("values_per_slot", [2, 3, 4])
def test_the_real_model(values_per_slot: int) -> None:
    reference = read_state(DenseNet3d(4))
    plan = ModelPlan("bfv", Layout({n: a.shape for n, a in reference.items()}), values_per_slot)
    assert plan.layout.values == 729_964
    rng = np.random.default_rng(0)
    states = [
        {
            n: np.float32(1 + rng.normal(0, 0.05)) * a + np.float32(1e-3)
            for n, a in reference.items()
        }
        for _ in range(3)
    ]
    case = (plan, reference, states, [2832, 750, 1081], 6809)  # NCCID's 2145 dropped out
    opened = run_round(KEY, *case)
    check_exact(opened, case)
    check_bound(opened, case)


@settings(max_examples=5, deadline=None)
@given(rounds(most=6))
def test_ckks_is_close(case: Case) -> None:
    plan, reference, states, weights, total_weight = case
    plan = ModelPlan("ckks", plan.layout)
    opened = run_round(CKKS_KEY, plan, reference, states, weights, total_weight)
    largest = max(float(np.abs(s[n]).max()) for s in states for n in s)
    for name, values in opened.state.items():
        exact = sum(
            s[name].astype(np.float64) * w for s, w in zip(states, weights, strict=True)
        ) / sum(weights)
        bound = (1e-7 + 1e-7 * largest) / opened.share + 2.0**-23 * np.abs(exact)
        assert (np.abs(values - exact) <= bound).all(), name


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 5000), st.integers(3, 10), st.integers(0, 2**32 - 1))
def test_integers_add_up_exactly(length: int, sites: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    plan = IntegerPlan("bfv", length, 16)
    bound = plan.codec.bound
    assert bound * 16 <= PLAIN_MODULUS // 2 < (bound + 1) * 16
    vectors = rng.integers(-bound, bound, (sites, length), endpoint=True)
    total = SealedSum(KEY.context, plan, CONTEXT)
    for i, vector in enumerate(vectors):
        total.add(SealedSite(KEY, f"site-{i}").seal_integers(plan, CONTEXT, vector))
    opened = SealedSite(KEY, "a").open_integers(plan, CONTEXT, total.result())
    assert (opened.values == vectors.sum(axis=0)).all()


@given(st.integers(2, 4), st.integers(0, 300), st.integers(0, 2**32 - 1))
def test_digits_of_any_sum_come_back(n: int, slots: int, seed: int) -> None:
    half, powers = radix(n) // 2, radix(n) ** np.arange(n)
    digits = np.random.default_rng(seed).integers(-half, half, (n, slots), endpoint=True)
    parts = [digits // 3, digits // 3, digits - 2 * (digits // 3)]
    total = np.sum([powers @ part for part in parts], axis=0)
    for k in range(n):
        assert (digit(total, k, n) == digits[k]).all()
