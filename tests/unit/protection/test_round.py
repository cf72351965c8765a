"""Whole rounds, and all that is refused on the way: by the server, or by whoever opens."""

from collections.abc import Callable

import numpy as np
import psutil
import pytest
import tenseal.sealapi as seal

from ucadi_flwr.aggregation.mean import WeightedMean
from ucadi_flwr.errors import ProtectionError
from ucadi_flwr.protection import frame
from ucadi_flwr.protection.encoding.layout import Layout
from ucadi_flwr.protection.encoding.ranges import OutOfRange
from ucadi_flwr.protection.frame import Kind, MessageContext
from ucadi_flwr.protection.keys import NO_KEY, SiteKey
from ucadi_flwr.protection.plan import IntegerPlan, ModelPlan, expected
from ucadi_flwr.protection.protect import make_site, make_sum
from ucadi_flwr.protection.scheme import bfv
from ucadi_flwr.protection.scheme.seal_io import SealIo

Get = Callable[..., object]  # the fixtures of conftest.py
SCHEMES = pytest.mark.parametrize("scheme", ["none", "bfv", "ckks"])
SEALED = pytest.mark.parametrize("scheme", ["bfv", "ckks"])
OCCASION = MessageContext("run-a", 1)
NAMES = ["tongji", "union", "nccid"]
DOES_NOT_OPEN = "does not open as the sum of"


def three(fed, state, message_context: MessageContext = OCCASION) -> list[bytes]:
    return [fed.seal(n, state(i), 1, 3, message_context) for i, n in enumerate(NAMES)]


def close(found: dict[str, np.ndarray], wanted: dict[str, np.ndarray], within: float) -> bool:
    return all(np.abs(found[n] - wanted[n]).max() <= within for n in wanted)


# ---------------------------------------------------------------- what works


@SCHEMES
def test_a_round(federation: Get, state: Get, scheme: str) -> None:
    fed = federation(scheme)
    weights = [40, 10, 50]
    blobs = [fed.seal(n, state(i), weights[i], 100) for i, n in enumerate(NAMES)]
    opened = fed.site("late-comer").open(fed.plan, OCCASION, fed.add_up(blobs))
    mean = WeightedMean()
    for i, weight in enumerate(weights):
        mean.add(state(i), weight)
    assert opened.members == tuple(NAMES)
    assert opened.share == pytest.approx(1.0, abs=1e-7)
    assert list(opened.state) == list(fed.layout.shapes)
    assert close(opened.state, mean.mean(), {"none": 0.0, "bfv": 8e-5, "ckks": 1e-6}[scheme])


@SCHEMES
def test_a_site_that_drops_out_renormalises_the_mean(
    federation: Get, state: Get, scheme: str
) -> None:
    fed = federation(scheme)
    blobs = [fed.seal(n, state(i), 10 + i, 1000) for i, n in enumerate(NAMES)]
    opened = fed.site("a").open(fed.plan, OCCASION, fed.add_up(blobs))
    mean = WeightedMean()
    for i in range(3):
        mean.add(state(i), 10 + i)
    assert opened.share == pytest.approx(0.033, abs=1e-7)
    assert close(opened.state, mean.mean(), 3e-3)  # 33 of 1000: so much coarser


@SCHEMES
def test_integers_add_up_exactly(federation: Get, scheme: str) -> None:
    fed = federation(scheme)
    plan, message_context = IntegerPlan(scheme, 3, 4), MessageContext("run-a", 1, "metrics")
    bound = plan.codec.bound
    vectors = [np.array([i, -bound, bound - i]) for i in range(4)]
    total = make_sum(fed.context, plan, message_context, 3, WeightedMean)
    for i, vector in enumerate(vectors):
        total.add(fed.site(f"s{i}").seal_integers(plan, message_context, vector))
    opened = fed.site("s9").open_integers(plan, message_context, total.result())
    assert opened.values.dtype == np.int64
    assert opened.values.tolist() == [6, -4 * bound, 4 * bound - 6]
    assert opened.members == total.members == ("s0", "s1", "s2", "s3")


@SEALED
def test_fresh_randomness_every_time(federation: Get, state: Get, scheme: str) -> None:
    fed = federation(scheme)
    one, two = (fed.seal("a", state(0)) for _ in range(2))
    head = 106 + frame.MEMBER
    assert one[:head] == two[:head]
    assert not any(one[i : i + 16] in two for i in range(head, 20_000, 16))


def test_out_of_range_is_mended_by_a_repeat(federation: Get, state: Get) -> None:
    fed = federation("bfv")
    wild = state(7)
    wild["conv.weight"][3, 4, 5] = 6.0  # the reference is 0.5 everywhere
    with pytest.raises(OutOfRange, match=r"tensor 'conv.weight' needs 8 ×") as caught:
        fed.seal("union", wild)
    again, wider = MessageContext("run-a", 1, attempt=1), caught.value.multipliers
    total = fed.sum(again)
    states = [state(0), wild, state(2)]
    for name, own in zip(NAMES, states, strict=True):
        total.add(fed.site(name).seal(fed.plan, again, own, fed.reference, 1, 3, wider))
    opened = fed.site("a").open(fed.plan, again, total.result())
    assert opened.state["conv.weight"][3, 4, 5] == pytest.approx(
        np.mean([s["conv.weight"][3, 4, 5] for s in states]), abs=6e-4
    )


# ---------------------------------------------------------------- what the server refuses


@SCHEMES
def test_the_server_takes_each_site_once(federation: Get, state: Get, scheme: str) -> None:
    fed = federation(scheme)
    total, blob = fed.sum(), fed.seal("tongji", state(0))
    assert total.add(blob) == "tongji"
    with pytest.raises(ProtectionError, match="'tongji' is in the sum already"):
        total.add(blob)
    assert total.members == ("tongji",)


@SCHEMES
def test_the_server_needs_a_quorum_and_has_a_limit(
    federation: Get, state: Get, scheme: str
) -> None:
    fed = federation(scheme, max_sites=3)
    total = fed.sum()
    for i in range(3):
        with pytest.raises(ProtectionError, match=f"{i} sites are in the sum, 3 are needed"):
            total.result()
        total.add(fed.seal(f"s{i}", state(i)))
    total.result()
    with pytest.raises(ProtectionError, match="room for 3 sites"):
        total.add(fed.seal("s4", state(4)))


@SCHEMES
def test_a_contribution_of_another_time(federation: Get, state: Get, scheme: str) -> None:
    fed = federation(scheme)
    for other in (
        MessageContext("run-a", 2),
        MessageContext("run-b", 1),
        MessageContext("run-a", 1, attempt=1),
        MessageContext("run-a", 1, "metrics"),
    ):
        with pytest.raises(ProtectionError, match="the message is of"):
            fed.sum().add(fed.seal("tongji", state(0), message_context=other))


def test_mixed_keys_and_plans(federation: Get, state: Get) -> None:
    fed, other = federation("bfv"), federation("bfv", 4)
    with pytest.raises(ProtectionError, match="under key"):
        fed.sum().add(other.seal("tongji", state(0)))
    site = make_site(fed.key, "tongji", 3)
    blob = site.seal(other.plan, OCCASION, state(0), fed.reference, 1, 3)
    with pytest.raises(ProtectionError, match="other parameters"):
        fed.sum().add(blob)


def test_other_ranges_are_noticed_by_the_server(federation: Get, state: Get) -> None:
    fed = federation("bfv")
    total = fed.sum()
    total.add(fed.seal("tongji", state(0)))
    other = {n: 2 * array for n, array in fed.reference.items()}
    blob = fed.site("union").seal(fed.plan, OCCASION, state(1), other, 1, 3)
    with pytest.raises(ProtectionError, match="'union' works from another global model"):
        total.add(blob)


@SCHEMES
@pytest.mark.parametrize("cut", [0, 1, 50, 200, -1])
def test_truncated_and_random_contributions(
    federation: Get, state: Get, scheme: str, cut: int
) -> None:
    fed = federation(scheme)
    blob = fed.seal("tongji", state(0))
    noise = np.random.default_rng(0).bytes(len(blob))
    for bad in (blob[:cut], blob + b"x", noise, noise[:cut], b""):
        total = fed.sum()
        with pytest.raises(ProtectionError) as caught:
            total.add(bad)
        assert "\n" not in str(caught.value)
        assert total.members == ()


def test_a_context_of_another_scheme(federation: Get) -> None:
    fed = federation("bfv")
    other = ModelPlan("ckks", fed.layout)
    with pytest.raises(ProtectionError, match="the key is for bfv, the plan for ckks"):
        make_sum(fed.context, other, OCCASION, 3, WeightedMean)
    with pytest.raises(ProtectionError, match="the key is for none, the plan for bfv"):
        make_sum(NO_KEY, fed.plan, OCCASION, 3, WeightedMean)
    for site, plan in ((fed.site("a"), other), (make_site(None, "a", 3), fed.plan)):
        with pytest.raises(ProtectionError, match="the key is for"):
            site.seal(plan, OCCASION, fed.reference, fed.reference, 1, 3)


# ---------------------------------------------------------------- what a site refuses to send


@SCHEMES
@pytest.mark.parametrize(("weight", "total"), [(0, 3), (-1, 3), (4, 3)])
def test_weights_that_cannot_be(
    federation: Get, state: Get, scheme: str, weight: int, total: int
) -> None:
    with pytest.raises(ProtectionError, match=f"a weight of {weight} of {total}"):
        federation(scheme).seal("tongji", state(0), weight, total)


@SCHEMES
def test_values_that_are_not_finite(federation: Get, state: Get, scheme: str) -> None:
    broken = state(0)
    broken["norm.var"][2] = np.nan
    with pytest.raises(ProtectionError, match=r"'norm.var' holds values that are not finite"):
        federation(scheme).seal("tongji", broken)


@SEALED
def test_one_seal_an_occasion(federation: Get, state: Get, scheme: str) -> None:
    fed = federation(scheme)
    site = fed.site("tongji")
    site.seal(fed.plan, OCCASION, state(0), fed.reference, 1, 3)
    with pytest.raises(ProtectionError, match="sealed already"):
        site.seal(fed.plan, OCCASION, state(1), fed.reference, 1, 3)
    again = MessageContext("run-a", 1, attempt=1)
    site.seal(fed.plan, again, state(1), fed.reference, 1, 3)


@SCHEMES
@pytest.mark.parametrize(
    ("vector", "message"),
    [
        (np.zeros(4, np.int64), r"expected int64 \(3,\)"),
        (np.zeros(3, np.int32), r"expected int64 \(3,\)"),
        (np.array([0, 0, 2**62]), "cannot be added exactly"),
        (np.array([0, -(2**62), 0]), "cannot be added exactly"),
    ],
)
def test_integers_that_do_not_fit(
    federation: Get, scheme: str, vector: np.ndarray, message: str
) -> None:
    site, plan = federation(scheme).site("a"), IntegerPlan(scheme, 3)
    with pytest.raises(ProtectionError, match=message):
        site.seal_integers(plan, OCCASION, vector)


# ---------------------------------------------------------------- what a site refuses to open


@SCHEMES
def test_too_few_members(federation: Get, state: Get, scheme: str) -> None:
    fed = federation(scheme)
    total = fed.sum(min_sites=1)
    total.add(fed.seal("tongji", state(0)))
    total.add(fed.seal("union", state(1)))
    with pytest.raises(ProtectionError, match="the sum is of 2 sites"):
        fed.site("a").open(fed.plan, OCCASION, total.result())


def forged(
    fed, members: list[str], blob: bytes, message_context: MessageContext = OCCASION
) -> bytes:
    """The same sum under another frame, as only the server could write it."""
    was = expected(fed.plan, fed.context, OCCASION, Kind.SUM)
    found = frame.read(blob, was)
    claim = expected(fed.plan, fed.context, message_context, Kind.SUM)
    return frame.write(claim, members, found.agreement, bytes(found.payload))


def renamed(blob: bytes, was: str, becomes: str) -> bytes:
    start = blob.index(was.encode().ljust(frame.MEMBER, b"\0"))
    name = becomes.encode().ljust(frame.MEMBER, b"\0")
    return blob[:start] + name + blob[start + frame.MEMBER :]


def refused(fed, blob: bytes, message_context: MessageContext = OCCASION) -> str:
    with pytest.raises(ProtectionError) as caught:
        fed.site("a").open(fed.plan, message_context, blob)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@SEALED
@pytest.mark.parametrize(
    "members",
    [
        [*NAMES, "another"],
        ["tongji", "union", "another"],
        ["tongji", "union", "Nccid"],
        [f"s{i}" for i in range(5)],
    ],
)
def test_a_false_list_of_members(
    federation: Get, state: Get, scheme: str, members: list[str]
) -> None:
    fed = federation(scheme)
    assert DOES_NOT_OPEN in refused(fed, forged(fed, members, fed.add_up(three(fed, state))))


@SEALED
def test_a_site_counted_twice_under_another_name(federation: Get, state: Get, scheme: str) -> None:
    fed = federation(scheme)
    blobs = three(fed, state)
    blobs[2] = renamed(blobs[0], "tongji", "nccid")
    assert DOES_NOT_OPEN in refused(fed, fed.add_up(blobs))


@SEALED
def test_a_replay_under_this_round_s_frame(federation: Get, state: Get, scheme: str) -> None:
    fed = federation(scheme)
    later = MessageContext("run-a", 2)
    blob = fed.add_up(three(fed, state))
    assert DOES_NOT_OPEN in refused(fed, forged(fed, NAMES, blob, later), later)
    assert "expected the model of round 2" in refused(fed, blob, later)


@SEALED
def test_another_key_under_this_key_s_frame(federation: Get, state: Get, scheme: str) -> None:
    fed = federation(scheme)
    blob = fed.add_up(three(fed, state))
    stranger = make_site(SiteKey.create(scheme), "a", 3)
    with pytest.raises(ProtectionError, match="under key"):
        stranger.open(fed.plan, OCCASION, blob)
    stranger._context = fed.context  # the frame says that the key is right, and lies
    with pytest.raises(ProtectionError, match=DOES_NOT_OPEN):
        stranger.open(fed.plan, OCCASION, blob)


@SEALED
def test_a_random_payload(federation: Get, state: Get, scheme: str) -> None:
    fed = federation(scheme)
    blob = fed.add_up(three(fed, state))
    claim = expected(fed.plan, fed.context, OCCASION, Kind.SUM)
    found = frame.read(blob, claim)
    noise = np.random.default_rng(0).bytes(len(found.payload))
    assert DOES_NOT_OPEN in refused(fed, frame.write(claim, NAMES, found.agreement, noise))
    assert DOES_NOT_OPEN in refused(
        fed, frame.write(claim, NAMES, b"x" * frame.ID, bytes(found.payload))
    )


def test_every_altered_word_of_a_bfv_sum_is_noticed(federation: Get, state: Get) -> None:
    """A high bit of a coefficient, anywhere: in the header, the tags, the values, the padding."""
    fed = federation("bfv")
    blob = fed.add_up(three(fed, state))
    start = len(blob) - bfv.LATTICE.sum_size
    for coefficient in (0, 1, 2, 3, 5, 9, 20, 500, 1410, 4095):
        for polynomial in (0, 1):
            altered = bytearray(blob)
            altered[start + 7 * (4096 * polynomial + coefficient) + 6] ^= 0x40
            assert DOES_NOT_OPEN in refused(fed, bytes(altered))


@pytest.mark.parametrize("slot", [0, 1, 2, 3, 4, 8, 12, 900, 4095])
def test_a_value_that_the_server_added(federation: Get, state: Get, slot: int) -> None:
    """SEAL's own addition of a plaintext, which needs no key."""
    fed = federation("bfv")
    blob = fed.add_up(three(fed, state))
    lattice, row = bfv.LATTICE, np.zeros(4096, np.int64)
    row[slot] = 3  # keeps even a sum of three ranges' codes divisible by three
    cipher, plain = seal.Ciphertext(), seal.Plaintext()
    head = len(blob) - lattice.sum_size
    with SealIo() as seal_io:
        seal_io.put(cipher, lattice.context, lattice.full(memoryview(blob)[head:]))
        bfv.CoefficientEncoding().fill(plain, row, seal_io)
        seal.Evaluator(lattice.context).add_plain_inplace(cipher, plain)
        members = seal_io.take(cipher, 4 * lattice.wire_format.seal_size)
    assert DOES_NOT_OPEN in refused(fed, blob[:head] + lattice.cut_sum(members))


@SEALED
def test_every_bit_of_the_frame(federation: Get, state: Get, scheme: str) -> None:
    fed = federation(scheme)
    blob = fed.add_up(three(fed, state))
    head = len(blob) - len(expectation(fed, blob).payload)
    for bit in range(0, 8 * head, 5):
        altered = bytearray(blob)
        altered[bit // 8] ^= 1 << bit % 8
        refused(fed, bytes(altered))


def expectation(fed, blob: bytes) -> frame.Frame:
    return frame.read(blob, expected(fed.plan, fed.context, OCCASION, Kind.SUM))


def test_sites_that_disagree_on_ranges_cannot_fool_an_opener(federation: Get, state: Get) -> None:
    """Ranges of 1, 2 and 3 add up to what three sites with 2 would: the tags tell them apart."""
    fed = federation("bfv")
    total, agreement = fed.sum(), b""
    for i, name in enumerate(NAMES):
        reference = {n: np.full_like(a, 0.5 * 4**i) for n, a in fed.reference.items()}
        site = fed.site(name)
        blob = site.seal(fed.plan, OCCASION, state(i), reference, 1, 3)
        found = frame.read(blob, expected(fed.plan, fed.context, OCCASION, Kind.CONTRIBUTION))
        agreement = agreement or found.agreement
        total.add(blob.replace(found.agreement, agreement, 1))
    assert DOES_NOT_OPEN in refused(fed, total.result())


@SEALED
def test_shares_above_one(federation: Get, state: Get, scheme: str) -> None:
    """Sites that were told another total than their weights have."""
    fed = federation(scheme)
    small = {n: a / 8 for n, a in state(0).items()}
    blob = fed.add_up([fed.seal(name, small, 3, 3) for name in NAMES])
    assert "the shares add up to 3" in refused(fed, blob)


# ---------------------------------------------------------------- memory and secrets


def test_the_adder_s_memory_does_not_grow_with_sites() -> None:
    layout = Layout({"w": (300, 1000)})
    key, plan = SiteKey.create("bfv"), ModelPlan("bfv", layout, max_sites=128)
    model = {"w": np.ones((300, 1000), np.float32)}
    blob = make_site(key, "site-000", 3).seal(plan, OCCASION, model, model, 1, 200)
    total, process = make_sum(key.context, plan, OCCASION, 3, WeightedMean), psutil.Process()
    used = []
    for i in range(120):
        total.add(renamed(blob, "site-000", f"site-{i:03d}"))
        used.append(process.memory_info().rss)
    assert used[-1] - used[19] < 2 * len(blob)  # of 100 contributions


@SEALED
def test_no_secret_in_what_travels_or_is_shown(federation: Get, state: Get, scheme: str) -> None:
    fed = federation(scheme)
    blobs = three(fed, state)
    seen = b"".join([*blobs, fed.add_up(blobs), repr(vars(fed.site("a").__class__)).encode()])
    secret = fed.key.secret
    plain = fed.layout.flatten(state(0)).tobytes()
    for what in (secret[100:], fed.key.derived("tags"), plain):
        pieces = {what[i : i + 16] for i in range(0, len(what) - 15, 16)}
        assert not any(piece in seen for piece in pieces)
    opened = fed.site("a").open(fed.plan, OCCASION, fed.add_up(blobs))
    assert "array" not in repr(opened)
    with pytest.raises((TypeError, AttributeError)):
        __import__("pickle").dumps(fed.site("a"))
