"""Flower's messages ↔ :class:`SiteClient`, sealed and opened on the way (:mod:`exchange.site`).

A message's ``config`` says what to do, and the digests of the recipes that it was meant for.
"""

import json
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import torch
from flwr.app import Array, ArrayRecord, ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.common import Scalar

from ucadi_flwr.data.sites import Division, open_sites, pooled
from ucadi_flwr.errors import DataError, FederationError, ProtectionError
from ucadi_flwr.exchange.agreement import Agreement
from ucadi_flwr.exchange.wire import blob_record
from ucadi_flwr.protection.encoding.ranges import OutOfRange
from ucadi_flwr.protection.keys import SiteKey
from ucadi_flwr.recipes import loader
from ucadi_flwr.recipes.base import check_site_name
from ucadi_flwr.recipes.run_config import RunConfig
from ucadi_flwr.recipes.strategy import StrategyRecipe
from ucadi_flwr.recipes.task import TaskRecipe
from ucadi_flwr.site.client import SiteClient
from ucadi_flwr.site.exchange import SiteExchange
from ucadi_flwr.site.local_tensors import LocalTensors
from ucadi_flwr.site.memory import SiteMemory

RUN = re.compile("[0-9a-f]{32}")
"""How a run is called; the server says so, and a folder here gets this name."""

app = ClientApp()


@app.query()
def hello(message: Message, context: Context) -> Message:
    """Who are you: the site's name, and its number of cases unless the strategy hides it."""
    properties = open_client(message, context).get_properties({})
    content = RecordDict({"config": ConfigRecord({**properties})})
    return Message(content=content, reply_to=message)


@app.query("weigh")
def weigh(message: Message, context: Context) -> Message:
    """The site's weight, sealed."""
    client, config = open_client(message, context), _config(message)
    exchange = open_exchange(client, config, context)
    sealed = {"weights": exchange.seal_weight(str(config["exchange"]), client.weight)}
    return Message(RecordDict({"sealed": blob_record(sealed)}), reply_to=message)


@app.train()
def fit(message: Message, context: Context) -> Message:
    """Train on the site's cases; or say which tensors need a wider range."""
    client, config = open_client(message, context), _config(message)
    exchange = open_exchange(client, config, context)
    name, trained_at = str(config["exchange"]), str(config["trained-at"])
    try:
        reference = exchange.open(message.content, trained_at)
    except ProtectionError as error:
        return _refusal(message, error)
    total = exchange.total_weight(message.content, int(config["total-weight"]), client.weight)
    own, server_round = LocalTensors(exchange.memory.folder), int(config["server-round"])
    client.own = own.after(server_round - 1)
    arrays, examples, metrics = client.fit(list(reference.state.values()), config)
    state = dict(zip(client.shapes, arrays, strict=True))
    multipliers = str(config["multipliers"])
    try:
        model = exchange.seal_model(
            name, state, reference, client.weight, total, multipliers, trained_at
        )
    except OutOfRange as error:
        wanted = ConfigRecord({"multipliers": json.dumps(error.multipliers), "why": str(error)})
        return Message(RecordDict({"ranges": wanted}), reply_to=message)
    if client.own:
        own.keep(server_round, client.own)
    sealed, loss = {"model": model}, float(metrics["loss"])
    found: dict[str, int | float] = {
        "epochs": int(metrics["epochs"]),
        "seconds": float(metrics["seconds"]),
    }
    if client.strategy.protection.weights == "public":
        found["num-examples"] = examples
    if client.strategy.protection.metrics == "public":
        found["loss"] = loss
    else:
        sealed["losses"] = exchange.seal_loss(name, loss, examples)
    record = MetricRecord({**found, "protect-seconds": exchange.seconds})
    content = RecordDict({"sealed": blob_record(sealed), "metrics": record})
    return Message(content=content, reply_to=message)


@app.evaluate()
def evaluate(message: Message, context: Context) -> Message:
    """Test on the site's cases."""
    client, config = open_client(message, context), _config(message)
    exchange = open_exchange(client, config, context)
    try:
        model = exchange.open(message.content, str(config["trained-at"]))
    except ProtectionError as error:
        return _refusal(message, error)
    client.own = LocalTensors(exchange.memory.folder).after(int(config["rounds"]))
    _, _, metrics = client.evaluate(list(model.state.values()), config)
    counts = np.frombuffer(cast(bytes, metrics["counts"]), np.int64)
    if client.strategy.protection.metrics == "public":
        content = RecordDict({"counts": ArrayRecord({"counts": Array(counts)})})
    else:
        sealed = {"counts": exchange.seal_counts(str(config["exchange"]), counts)}
        content = RecordDict({"sealed": blob_record(sealed)})
    return Message(content=content, reply_to=message)


def open_client(message: Message, context: Context) -> SiteClient:
    """The site that this node is, after its own copies of the recipes were checked.

    A deployed node's configuration names its ``site``, its ``data-dir``, a ``cache-dir`` and a
    ``memory-dir`` of its own, its ``key`` and, if need be, ``threads``; a model that the site makes
    its own is kept in ``models/RUN`` beside the ``cache-dir``. In a simulation the partition number
    picks a site of the run's data folder.
    """
    run, deployed = RunConfig.read(context.run_config), "data-dir" in context.node_config
    if deployed and any(set(name) & set("./\\") for name in (run.task, run.strategy)):
        raise FederationError("a site takes recipes by their names, from its own copies")
    config = message.content.config_records["config"]
    task = loader.load(TaskRecipe, run.task)
    strategy = loader.load(StrategyRecipe, run.strategy)
    for recipe, key in ((task, "task-digest"), (strategy, "strategy-digest")):
        if loader.digest(recipe) != config[key]:
            raise FederationError(
                f"recipe {recipe.name} differs from the server's ({key} {str(config[key])[:12]}…); "
                "bring both to the same version"
            )
    if deployed:
        models = Path(str(context.node_config["cache-dir"])).parent / "models" / _run(config)
        return _deployed(context, task, strategy, models)
    torch.set_num_threads(run.threads)
    division = Division(run.sites or None, run.held_out, run.folds, run.fold)
    sites = open_sites(run.data_folder, task, division)
    partition = int(context.node_config["partition-id"])
    if partition >= len(sites):
        raise DataError(f"{run.data_folder} has {len(sites)} sites; run that many nodes")
    site = list(sites.values())[partition]
    if strategy.cohort == "pooled" and message.metadata.message_type == "train":
        site = pooled(sites)
    return SiteClient(
        task,
        strategy,
        site,
        cache=run.folder / "cache",
        predictions=run.cell / "predictions",
        models=run.own_models,
    )


def _deployed(
    context: Context, task: TaskRecipe, strategy: StrategyRecipe, models: Path
) -> SiteClient:
    """A hospital's own node: nothing that a server says names a file here."""
    if strategy.cohort == "pooled":
        raise FederationError(f"strategy {strategy.name} pools images; no site gives them away")
    node = context.node_config
    torch.set_num_threads(int(node.get("threads", os.cpu_count() or 1)))
    data, name = Path(str(node["data-dir"])), check_site_name(str(node.get("site", "")))
    sites = open_sites(data, task)
    if len(sites) != 1:
        raise DataError(f"{data}: has {len(sites)} sites ({', '.join(sites)}); a node is one site")
    site = replace(next(iter(sites.values())), name=name)
    cache = Path(str(node["cache-dir"]))
    return SiteClient(task, strategy, site, cache, models=models)


def _run(config: Mapping[str, object]) -> str:
    """How the server calls the run: folders at the site get this name. ``none`` when greeted."""
    run = str(config.get("run", "none"))
    if run != "none" and not RUN.fullmatch(run):
        raise FederationError(f"{run[:40]!r} is no run: 32 hexadecimal digits")
    return run


def open_exchange(client: SiteClient, config: dict[str, Scalar], context: Context) -> SiteExchange:
    """The site's end of the exchange, with its own key and its memory of this run."""
    run, recipe = str(config["run"]), client.strategy
    agreement = Agreement(recipe, run, client.shapes, len(client.task.classes))
    node = context.node_config
    settings = RunConfig.read(context.run_config)
    simulated = settings.own_models / client.site.name / "memory"
    memory = SiteMemory(Path(str(node.get("memory-dir", simulated))), run)
    key = _key(client, context)
    return SiteExchange(agreement, key, client.site.name, memory, client.trainable)


def _key(client: SiteClient, context: Context) -> SiteKey | None:
    """A deployed site names its key file itself; in a simulation the experiment does."""
    scheme = client.strategy.protection.scheme
    if scheme == "none":
        return None
    node = context.node_config
    simulated = "" if "data-dir" in node else RunConfig.read(context.run_config).key
    path = str(node.get("key", "")) or simulated
    if not path:
        raise ProtectionError(
            f"strategy {client.strategy.name} encrypts and this site has no key: start its node "
            'with key="FILE" in --node-config'
        )
    key = SiteKey.load(Path(path))
    if key.scheme != scheme:
        raise ProtectionError(f"{path} is a key for {key.scheme}; the strategy needs {scheme}")
    return key


def _refusal(message: Message, error: ProtectionError) -> Message:
    content = RecordDict({"refused": ConfigRecord({"why": str(error)})})
    return Message(content=content, reply_to=message)


def _config(message: Message) -> dict[str, Scalar]:
    return cast(dict[str, Scalar], {**message.content.config_records["config"]})
