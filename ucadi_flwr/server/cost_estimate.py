"""What a round will cost each site, estimated before the first round."""

import time

import numpy as np

from ucadi_flwr.aggregation.mean import WeightedMean
from ucadi_flwr.exchange.agreement import Agreement, attempt_name
from ucadi_flwr.protection.encoding.layout import Layout
from ucadi_flwr.protection.keys import NO_KEY, SiteKey
from ucadi_flwr.protection.plan import ModelPlan
from ucadi_flwr.protection.protect import make_site, make_sum

SAMPLE = 100_000
"""Values that are sealed and opened to learn how fast this machine is."""

BYTES_PER_VALUE = {"none": 8, "bfv": 21, "ckks": 105}
"""Memory, beside the model, of sealing and opening it once, rounded up from ``site_bytes`` of
benchmarks/protection.py with 1 million values: none 8, bfv 20 (with three a slot 14), ckks 102."""


def measure(agreement: Agreement, sites: int, bandwidth: int = 0) -> str:
    """One line: bytes, seconds of protection and memory a round and site.

    ``bandwidth`` (bytes/s; 0: unknown) adds how long the bytes take, as S0's figure of 900 KB/s.
    """
    scheme = agreement.recipe.protection.scheme
    values = agreement.model.layout.values
    context = SiteKey.create(scheme).context if scheme != "none" else NO_KEY
    up, down = agreement.frame_size("model", context), agreement.frame_size("model", context, sites)
    if agreement.recipe.protection.metrics == "encrypted":
        up += agreement.frame_size("losses", context)
    if agreement.exchanges_weights:
        down += agreement.frame_size("weights", context, sites)
    line = (
        f"a round costs each site {up / 1e6:.2f} MB up and {down / 1e6:.2f} MB down, "
        f"{seconds(agreement):.2f} s of protection ({scheme}) and "
        f"{values * BYTES_PER_VALUE[scheme] / 1e6:.0f} MB of memory"
    )
    if bandwidth:
        plain = 8 * values / bandwidth
        line += (
            f"; at {bandwidth / 1e3:g} KB/s {(up + down) / bandwidth:.1f} s to transmit "
            f"({plain:.1f} s without encryption)"
        )
    return line


def seconds(agreement: Agreement) -> float:
    """Sealing and opening one model here, projected from a sample of values."""
    recipe = agreement.recipe
    values = agreement.model.layout.values
    rows = max(1, min(values, SAMPLE) // 100)
    layout = Layout({"sample": (rows, 100)})
    protection = recipe.protection
    plan = ModelPlan(protection.scheme, layout, protection.values_per_slot)
    rng = np.random.default_rng(0)
    state = {"sample": rng.normal(0, 0.05, (rows, 100)).astype(np.float32)}
    key = SiteKey.create(protection.scheme) if protection.scheme != "none" else None
    message_context = agreement.message_context("model", attempt_name(0, 0))
    site = make_site(key, "sample", min_sites=1)
    total = make_sum(key.context if key else NO_KEY, plan, message_context, 1, WeightedMean)
    begin = time.perf_counter()
    blob = site.seal(plan, message_context, state, state, 1, 1)
    sealed = time.perf_counter() - begin
    total.add(blob)
    result = total.result()
    begin = time.perf_counter()
    site.open(plan, message_context, result)
    return (sealed + time.perf_counter() - begin) * values / layout.values
