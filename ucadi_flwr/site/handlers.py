"""What a site answers to each kind of message: sealed and opened on the way, its work between."""

import json
from typing import cast

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, MetricRecord, RecordDict

from ucadi_flwr.errors import ProtectionError
from ucadi_flwr.exchange.terms import TestTerms, TrainTerms, WeightTerms
from ucadi_flwr.exchange.wire import blob_record
from ucadi_flwr.protection.encoding.ranges import OutOfRange
from ucadi_flwr.site.local_tensors import LocalTensors
from ucadi_flwr.site.session import SiteSession


def identify(session: SiteSession) -> RecordDict:
    """The site's name, whether it trains, and its number of cases unless the strategy hides it."""
    properties = session.client().get_properties({})
    return RecordDict({"config": ConfigRecord({**properties})})


def weigh(session: SiteSession, terms: WeightTerms) -> RecordDict:
    """The site's weight, sealed."""
    sealed = session.exchange().seal_weight(terms.attempt_name, session.client().weight)
    return RecordDict({"sealed": blob_record({"weights": sealed})})


def train(session: SiteSession, terms: TrainTerms, content: RecordDict) -> RecordDict:
    """The site's update, sealed; or which tensors need a wider range; or why it cannot open."""
    client, exchange = session.client(training=True), session.exchange(training=True)
    try:
        reference = exchange.open(content, terms.trained_at)
    except ProtectionError as error:
        return _refusal(error)
    total = exchange.total_weight(content, terms.total_weight, client.weight)
    local = LocalTensors(exchange.memory.folder)
    client.local_state = local.after(terms.server_round - 1)
    arrays, examples, metrics = client.fit(list(reference.state.values()), terms.config())
    state = dict(zip(session.tensors.shapes, arrays, strict=True))
    try:
        model = exchange.seal_model(terms, state, reference, client.weight, total)
    except OutOfRange as error:
        wanted = ConfigRecord({"multipliers": json.dumps(error.multipliers), "why": str(error)})
        return RecordDict({"ranges": wanted})
    if client.local_state:
        local.keep(terms.server_round, client.local_state)
    sealed, loss = {"model": model}, float(metrics["loss"])
    answer = {"epochs": int(metrics["epochs"]), "seconds": float(metrics["seconds"])}
    protection = session.strategy.protection
    if protection.weights == "public":
        answer["num-examples"] = examples
    if protection.metrics == "public":
        answer["loss"] = loss
    else:
        sealed["losses"] = exchange.seal_loss(terms.attempt_name, loss, examples)
    record = MetricRecord({**answer, "protect-seconds": exchange.seconds})
    return RecordDict({"sealed": blob_record(sealed), "metrics": record})


def test(session: SiteSession, terms: TestTerms, content: RecordDict) -> RecordDict:
    """The counts of a test on the site's cases, sealed where the strategy says so."""
    client, exchange = session.client(), session.exchange()
    try:
        model = exchange.open(content, terms.trained_at)
    except ProtectionError as error:
        return _refusal(error)
    client.local_state = LocalTensors(exchange.memory.folder).after(terms.rounds)
    _, _, metrics = client.evaluate(list(model.state.values()), terms.config())
    counts = np.frombuffer(cast(bytes, metrics["counts"]), np.int64)
    if session.strategy.protection.metrics == "public":
        return RecordDict({"counts": ArrayRecord({"counts": Array(counts)})})
    sealed = {"counts": exchange.seal_counts(terms.attempt_name, counts)}
    return RecordDict({"sealed": blob_record(sealed)})


def _refusal(error: ProtectionError) -> RecordDict:
    return RecordDict({"refused": ConfigRecord({"why": str(error)})})
